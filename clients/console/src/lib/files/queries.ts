/** Queries of files, which several pages share. */

import type { FileObject, FilesListParams } from "@finetuned/client";
import { client } from "#lib/api.ts";
import type { ListPage } from "#lib/list.svelte.ts";

/** A file that is being checked is asked for again this often. */
const CHECK_MS = 1500;

/** Options of the query of one file. While it is being checked, it is asked for again. */
export function fileQuery(id: string) {
  return {
    queryKey: ["files", id],
    queryFn: ({ signal }: { signal: AbortSignal }) => client.files.retrieve(id, { signal }),
    refetchInterval: (query: { state: { data: FileObject | undefined } }) =>
      query.state.data?.status === "uploaded" ? CHECK_MS : false,
  } as const;
}

/** Return a page of files. The first one has the number of all. */
export function listFiles(query: FilesListParams, signal: AbortSignal) {
  const counts = query.after ? {} : { include: ["counts"] };
  return client.get<ListPage<FileObject>>("/files", { query: { ...query, ...counts }, signal });
}

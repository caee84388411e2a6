/** Queries of files, which several pages share. */

import type { FileObject } from "@finetuned/client";
import { client } from "#lib/api.ts";

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

/** A page of a list with the number of all objects, which the client's own pages leave out. */
interface CountedPage<T> {
  data: T[];
  has_more: boolean;
  last_id: string | null;
  counts?: { total: number };
}

/** Return a page of files. The first one has the number of all. */
export function listFiles(query: object, after: string, signal: AbortSignal) {
  const more = after ? { after } : { include: ["counts"] };
  return client.get<CountedPage<FileObject>>("/files", { query: { ...query, ...more }, signal });
}

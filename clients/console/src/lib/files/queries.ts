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

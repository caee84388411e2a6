/** Lists of the API as queries, which fetch the next page when a table comes to its end. */

import {
  createInfiniteQuery,
  keepPreviousData,
  type CreateInfiniteQueryResult,
} from "@tanstack/svelte-query";

const PAGE_ROWS = 100;

/** A page of a list, and how many objects there are in all if the API was asked to count them. */
export interface ListPage<T> {
  data: T[];
  has_more: boolean;
  last_id?: string | null;
  counts?: Counts | null;
}
interface Counts {
  total: number;
  by_status: Partial<Record<string, number>>;
}
type Rows<T> = T[] & { counts?: Counts | null | undefined };
export type List<T> = CreateInfiniteQueryResult<Rows<T>, Error>;

interface Options<T> {
  queryKey: readonly unknown[];
  list: (page: { limit: number; after?: string }, signal: AbortSignal) => PromiseLike<ListPage<T>>;
  enabled?: boolean;
  staleTime?: number;
  gcTime?: number;
  refetchInterval?: number | ((rows: T[]) => number | false);
}

/** Query whose data are the rows of all pages so far. While filters change, the old rows stay. */
export function createList<T>(options: () => Options<T>): List<T> {
  return createInfiniteQuery(() => {
    const { list, refetchInterval = false, ...rest } = options();
    return {
      ...rest,
      queryFn: async ({ pageParam, signal }: { pageParam: string; signal: AbortSignal }) =>
        await list({ limit: PAGE_ROWS, ...(pageParam ? { after: pageParam } : {}) }, signal),
      initialPageParam: "",
      getNextPageParam: (last: ListPage<T>) => (last.has_more && last.last_id) || undefined,
      select: ({ pages }: { pages: ListPage<T>[] }): Rows<T> =>
        Object.assign(rowsOf(pages), { counts: pages[0]?.counts }),
      refetchInterval:
        typeof refetchInterval === "function"
          ? ({ state }: { state: { data: { pages: ListPage<T>[] } | undefined } }) =>
              refetchInterval(rowsOf(state.data?.pages ?? []))
          : refetchInterval,
      placeholderData: keepPreviousData,
    };
  });
}

function rowsOf<T>(pages: ListPage<T>[]): T[] {
  return pages.flatMap(({ data }) => data);
}

/** Fetch the next page of a list, unless it is on its way or there is none. */
export function more<T>(list: List<T>): void {
  if (list.hasNextPage && !list.isFetchingNextPage) void list.fetchNextPage();
}

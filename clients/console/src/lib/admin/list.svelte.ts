/** Lists of the API as queries, which fetch the next page when a table comes to its end. */

import type { Page, PagePromise } from "@finetuned/client";
import { createInfiniteQuery, type CreateInfiniteQueryResult } from "@tanstack/svelte-query";

const PAGE_ROWS = 100;

interface Options<T> {
  queryKey: readonly unknown[];
  list: (page: { limit: number; after?: string }) => PagePromise<T>;
  enabled?: boolean;
  refetchInterval?: number;
}

/** Query whose data are the rows of all pages so far. */
export function createList<T>(options: () => Options<T>): CreateInfiniteQueryResult<T[], Error> {
  return createInfiniteQuery(() => {
    const { list, ...rest } = options();
    return {
      ...rest,
      queryFn: async ({ pageParam }: { pageParam: string }): Promise<Page<T>> =>
        await list({ limit: PAGE_ROWS, ...(pageParam ? { after: pageParam } : {}) }),
      initialPageParam: "",
      getNextPageParam: (last: Page<T>) => (last.has_more ? last.last_id : undefined),
      select: ({ pages }: { pages: Page<T>[] }) => pages.flatMap(({ data }) => data),
    };
  });
}

/** Fetch the next page of a list, unless it is on its way or there is none. */
export function more<T>(list: CreateInfiniteQueryResult<T[], Error>): void {
  if (list.hasNextPage && !list.isFetchingNextPage) void list.fetchNextPage();
}

/** The parts of the address that say how a page is shown: filters, sort, zoom, selected row. */

import { goto } from "$app/navigation";
import { page } from "$app/state";

/** Change parameters of the address in place. Null, false and "" remove one. */
export function setParams(changes: Record<string, string | boolean | null>): void {
  const url = new URL(page.url.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === false || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value === true ? "1" : value);
  }
  void goto(url, { replace: true, reset: false });
}

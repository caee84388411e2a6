declare module "virtual:messages/*" {
  import type { Catalog } from "#lib/i18n.svelte.ts";
  const catalog: Catalog;
  export default catalog;
}

declare module "*?url&no-inline" {
  const url: string;
  export default url;
}

import { i18n } from "#lib/i18n.svelte.ts";

export async function load({ parent }: { parent: () => Promise<unknown> }): Promise<void> {
  await parent(); // which finds the language
  await i18n.addAdmin();
}

// Admin begins with the first section that the role may see.
import { redirect } from "@sveltejs/kit";
import { allowedSections } from "#lib/admin/sections.ts";

export async function load({ parent }: { parent: () => Promise<unknown> }): Promise<void> {
  await parent(); // which finds the session
  redirect(307, `/console/admin/${allowedSections()[0]?.name ?? "usage"}`);
}

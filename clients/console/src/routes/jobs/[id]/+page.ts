import { redirect } from "@sveltejs/kit";

export function load({ params }: { params: { id: string } }): void {
  redirect(307, `/console/jobs/${params.id}/curves`);
}

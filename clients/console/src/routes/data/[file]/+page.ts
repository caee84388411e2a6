import { redirect } from "@sveltejs/kit";

export function load({ params }: { params: { file: string } }): void {
  redirect(307, `/console/data/${params.file}/preview`);
}

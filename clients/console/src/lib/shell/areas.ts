/** The areas of the console, in the order of the navigation, and what a role needs to see each. */

import type { Permission } from "#lib/session.svelte.ts";

export const AREAS = [
  { name: "start", href: "/console", needs: null, icon: "M3 9.5 10 4l7 5.5V17h-5v-4H8v4H3z" },
  {
    name: "data",
    href: "/console/data",
    needs: "files.read",
    icon: "M3 5c0-1.1 3.1-2 7-2s7 .9 7 2-3.1 2-7 2-7-.9-7-2M3 5v10c0 1.1 3.1 2 7 2s7-.9 7-2V5M3 10c0 1.1 3.1 2 7 2s7-.9 7-2",
  },
  {
    name: "train",
    href: "/console/train",
    needs: "fine_tuning.write",
    icon: "M11 2 4 11h5l-1 7 8-10h-5z",
  },
  {
    name: "jobs",
    href: "/console/jobs",
    needs: "fine_tuning.read",
    icon: "M3 16 7 9l4 4 6-9M3 3v14h14",
  },
  {
    name: "evals",
    href: "/console/evals",
    needs: "evals.read",
    icon: "M4 4h12v13H4zM7 8l1.5 1.5L11 7M7 13l1.5 1.5L11 12M13 8.5h1M13 13.5h1",
  },
  {
    name: "playground",
    href: "/console/playground",
    needs: "model.request",
    icon: "M3 4h14v10H9l-4 3v-3H3z",
  },
  {
    name: "models",
    href: "/console/models",
    needs: "model.read",
    icon: "M10 2l7 4v8l-7 4-7-4V6zM3 6l7 4 7-4M10 10v8",
  },
  {
    name: "admin",
    href: "/console/admin",
    needs: "usage.read",
    icon: "M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4",
  },
] as const satisfies readonly {
  name: string;
  href: string;
  needs: Permission | null;
  icon: string;
}[];

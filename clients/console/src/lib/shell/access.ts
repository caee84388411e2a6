/** What a role needs to see the pages, by the beginning of their routes. The longest one decides. */

import type { Permission } from "#lib/session.svelte.ts";
import type { AREAS } from "./areas.ts";

interface Access {
  needs: readonly Permission[];
  /** Area whose name is the heading of a page that is not shown. */
  area: (typeof AREAS)[number]["name"];
}

const ACCESS: Readonly<Record<string, Access>> = {
  "/advice": { area: "train", needs: ["fine_tuning.read"] },
  "/aliases": { area: "models", needs: ["aliases.read"] },
  "/data": { area: "data", needs: ["files.read"] },
  "/data/chats": { area: "data", needs: ["data.read"] },
  "/data/generate": { area: "data", needs: ["files.write"] },
  "/data/generate/[id]": { area: "data", needs: ["files.read"] },
  "/data/merge": { area: "data", needs: ["files.write"] },
  "/evals": { area: "evals", needs: ["evals.read"] },
  "/evals/[id]/compare": { area: "evals", needs: ["data.read"] },
  "/evals/[id]/runs": { area: "evals", needs: ["data.read"] },
  "/evals/new": { area: "evals", needs: ["evals.write"] },
  "/jobs": { area: "jobs", needs: ["fine_tuning.read"] },
  "/models": { area: "models", needs: ["model.read"] },
  "/models/import": { area: "models", needs: ["model.write", "files.write"] },
  "/playground": { area: "playground", needs: ["model.request"] },
  "/playground/[id]": { area: "playground", needs: ["data.read"] },
  "/train": { area: "train", needs: ["files.read", "fine_tuning.read"] },
};

/** What a route needs. Null if every role may see it, or if its own layout decides. */
export function accessTo(route: string): Access | null {
  for (let path = route; path; path = path.slice(0, path.lastIndexOf("/"))) {
    const access = ACCESS[path];
    if (access) return access;
  }
  return null;
}

/** What the command palette finds: areas, actions, and objects of the project by name. */

import { client } from "#lib/api.ts";
import { t } from "#lib/i18n.svelte.ts";
import { nameOf } from "#lib/jobs/job.ts";
import { session } from "#lib/session.svelte.ts";
import { shortcuts, visibleAreas, AREA_KEYS } from "./shortcuts.svelte.ts";
import { theme } from "./theme.svelte.ts";

export interface Command {
  id: string;
  text: string;
  /** What kind of thing it is, on the right. */
  kind: string;
  href?: string;
  run?: () => void;
  keys?: readonly string[];
}

const SHOWN = 5;

/** Commands that are always there. */
export function ownCommands(): Command[] {
  const goTo = visibleAreas().map((area) => ({
    id: area.name,
    text: t(`nav.${area.name}`),
    kind: t("nav.command.area"),
    href: area.href,
    keys: ["g", AREA_KEYS[area.name]],
  }));
  const action = t("nav.command.action");
  const actions: (Command | false)[] = [
    session.can("fine_tuning.write") && {
      id: "train_example",
      text: t("nav.command.guide"),
      kind: action,
      href: "/console?guide=1",
    },
    session.can("fine_tuning.read") && {
      id: "running",
      text: t("nav.command.running"),
      kind: action,
      href: "/console/jobs?state=running",
    },
    {
      id: "theme",
      text: theme.isDark ? t("nav.command.light") : t("nav.command.dark"),
      kind: action,
      run: () => (theme.choice = theme.isDark ? "light" : "dark"),
    },
    {
      id: "keys",
      text: t("nav.keys.title"),
      kind: action,
      keys: ["?"],
      run: () => (shortcuts.isHelpOpen = true),
    },
    { id: "docs", text: t("nav.api_docs"), kind: action, run: () => window.open("/docs") },
  ];
  return [...goTo, ...actions.filter((each) => each !== false)];
}

export function matches(text: string, query: string): boolean {
  const plain = (value: string): string => value.normalize("NFKC").toLocaleLowerCase();
  return plain(query)
    .split(/\s+/)
    .every((word) => plain(text).includes(word));
}

/** Jobs, files and models whose name or ID has the text. */
export async function search(text: string, signal: AbortSignal): Promise<Command[]> {
  const query = { search: text, limit: SHOWN };
  const found = await Promise.allSettled([
    session.can("fine_tuning.read")
      ? client.fineTuning.jobs.list(query, { signal }).then(({ data }) =>
          data.map((job) => ({
            id: job.id,
            text: nameOf(job),
            kind: t("nav.command.job"),
            href: `/console/jobs/${job.id}`,
          })),
        )
      : [],
    session.can("files.read")
      ? client.files.list(query, { signal }).then(({ data }) =>
          data.map((file) => ({
            id: file.id,
            text: file.filename,
            kind: t("nav.command.file"),
            href: `/console/data/${file.id}`,
          })),
        )
      : [],
    session.can("model.read")
      ? client.models.list(query, { signal }).then(({ data }) =>
          data.map((model) => ({
            id: model.id,
            text: model.id,
            kind: t("nav.command.model"),
            href: `/console/models/${encodeURIComponent(model.id)}`,
          })),
        )
      : [],
  ]);
  return found.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
}

/**
 * Keys and projects: what OpenAI's Admin API lacks.
 *
 * The rest of it works in OpenAI's SDK: `new OpenAI(client.openaiOptions()).admin.organization`.
 */

import { type Finetuned, unwrap } from "./client.js";
import type {
  CallerObject,
  CreateKey,
  CreateProject,
  KeyObject,
  NewKeyObject,
  ProjectLimits,
  ProjectObject,
  UpdateKey,
} from "./types.js";

export interface AdminOptions {
  signal?: AbortSignal;
}

/** Return the client's API key, its project, their limits, and what is used of them. */
export function whoami(client: Finetuned, { signal }: AdminOptions = {}): Promise<CallerObject> {
  return unwrap(client.http.GET("/v1/whoami", { signal: signal ?? null }));
}

/**
 * Create an API key. `value` is its secret, which is returned only once.
 *
 * With the role `inference`, `models` may list the only names that it can request.
 */
export function createKey(
  client: Finetuned,
  projectId: string,
  body: CreateKey,
  { signal }: AdminOptions = {},
): Promise<NewKeyObject> {
  const params = { path: { project_id: projectId } };
  return unwrap(
    client.http.POST("/v1/organization/projects/{project_id}/api_keys", {
      params,
      body,
      signal: signal ?? null,
    }),
  );
}

/** Change the name, role, models, addresses, expiry or limits of a key. Omitted ones stay. */
export function updateKey(
  client: Finetuned,
  projectId: string,
  keyId: string,
  body: UpdateKey,
  { signal }: AdminOptions = {},
): Promise<KeyObject> {
  const params = { path: { project_id: projectId, key_id: keyId } };
  return unwrap(
    client.http.POST("/v1/organization/projects/{project_id}/api_keys/{key_id}", {
      params,
      body,
      signal: signal ?? null,
    }),
  );
}

export interface RotateOptions extends AdminOptions {
  /** Seconds for which the secrets before the new one stay valid. Default: a day. */
  overlapSeconds?: number;
}

/** Replace the secret of a key. `value` is the new one, which is returned only once. */
export function rotateKey(
  client: Finetuned,
  projectId: string,
  keyId: string,
  { overlapSeconds, signal }: RotateOptions = {},
): Promise<NewKeyObject> {
  const params = { path: { project_id: projectId, key_id: keyId } };
  const body = overlapSeconds === undefined ? null : { overlap_seconds: overlapSeconds };
  return unwrap(
    client.http.POST("/v1/organization/projects/{project_id}/api_keys/{key_id}/rotate", {
      params,
      body,
      signal: signal ?? null,
    }),
  );
}

/** Create a project with limits. Project names are never reused. */
export function createProject(
  client: Finetuned,
  body: CreateProject,
  { signal }: AdminOptions = {},
): Promise<ProjectObject> {
  return unwrap(client.http.POST("/v1/organization/projects", { body, signal: signal ?? null }));
}

/** Retrieve a project with its limits, and the bytes that it has in storage. */
export function getProject(
  client: Finetuned,
  projectId: string,
  { signal }: AdminOptions = {},
): Promise<ProjectObject> {
  const params = { path: { project_id: projectId } };
  return unwrap(
    client.http.GET("/v1/organization/projects/{project_id}", { params, signal: signal ?? null }),
  );
}

/**
 * Set limits of a project, its storage quota (`storage_bytes`) included. Omitted ones stay.
 *
 * `null` restores the installation's default, and `"unlimited"` removes that limit too.
 */
export function limitProject(
  client: Finetuned,
  projectId: string,
  limits: ProjectLimits,
  { signal }: AdminOptions = {},
): Promise<ProjectObject> {
  const params = { path: { project_id: projectId } };
  return unwrap(
    client.http.POST("/v1/organization/projects/{project_id}", {
      params,
      body: { limits },
      signal: signal ?? null,
    }),
  );
}

/** Delete a project with all that it has, in the background. This cannot be undone. */
export function deleteProject(
  client: Finetuned,
  projectId: string,
  { signal }: AdminOptions = {},
): Promise<ProjectObject> {
  const params = { path: { project_id: projectId } };
  return unwrap(
    client.http.DELETE("/v1/organization/projects/{project_id}", {
      params,
      signal: signal ?? null,
    }),
  );
}

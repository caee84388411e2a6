/** The real service, behind a real proxy that fails like networks do. */

import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { type ClientOptions, Finetuned } from "../src/index.js";

export const MIB = 1024 * 1024;
export const BASE_MODEL = process.env.FINETUNED_TEST_MODEL ?? "smollm2-135m-instruct";

/** A client of the service in the environment. */
export function service(options: ClientOptions = {}): Finetuned {
  return new Finetuned(options);
}

/** Fault of a request. `swallow`: the service handles it, but its response is lost. */
export type Fault =
  | "cut"
  | "swallow"
  | "hang"
  | { status: number; headers?: object }
  | { bytes: number };

export interface Middle {
  url: string;
  /** `METHOD /path` of all requests so far. */
  requests: string[];
  /** Connections that the client closed before the response was complete. */
  left: number;
  close(): Promise<void>;
}

/** A proxy in front of the service; `fault` determines what happens to a request. */
export async function between(
  fault: (line: string, nth: number) => Fault | undefined,
): Promise<Middle> {
  const target = new URL(process.env.FINETUNED_BASE_URL ?? "");
  const proxy: Middle = { url: "", requests: [], left: 0, close };
  const server = createServer((incoming, answer) => {
    const line = `${incoming.method} ${incoming.url?.split("?")[0]}`;
    const nth = proxy.requests.filter((other) => other === line).length;
    proxy.requests.push(line);
    answer.on("close", () => {
      if (!answer.writableFinished) proxy.left += 1;
    });
    pass(target, incoming, answer, fault(line, nth));
  });
  function close(): Promise<void> {
    server.closeAllConnections();
    return new Promise((closed) => server.close(() => closed()));
  }
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  onTestFinished(close);
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return proxy;
}

function pass(
  target: URL,
  incoming: IncomingMessage,
  answer: ServerResponse,
  fault: Fault | undefined,
): void {
  if (fault === "cut") return void incoming.socket.destroy();
  if (fault === "hang") return;
  if (typeof fault === "object" && "status" in fault) {
    incoming.resume();
    incoming.on("end", () => answer.writeHead(fault.status, { ...fault.headers }).end("{}"));
    return;
  }
  const { method, headers, url: path } = incoming;
  const { hostname: host, port } = target;
  const outgoing = request({ host, port, method, path, headers }, (real) => {
    if (fault === "swallow") {
      real.resume();
      real.on("end", () => incoming.socket.destroy());
      return;
    }
    answer.writeHead(real.statusCode ?? 500, real.headers);
    answer.flushHeaders();
    let left = typeof fault === "object" ? fault.bytes : Number.POSITIVE_INFINITY;
    let broken = false;
    real.on("data", (chunk: Buffer) => {
      if (broken) return;
      answer.write(chunk.subarray(0, left));
      left -= chunk.length;
      broken = left <= 0;
      if (broken) setTimeout(() => incoming.socket.destroy(), 200);
    });
    real.on("end", () => broken || answer.end());
  });
  outgoing.on("error", () => incoming.socket.destroy());
  answer.on("close", () => outgoing.destroy());
  incoming.pipe(outgoing);
}

/** Random bytes. */
export function noise(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += MIB) bytes.set(randomBytes(Math.min(MIB, size - at)), at);
  return bytes;
}

/** A training file of `rows` examples. */
export function chats(rows: number, mark = ""): File {
  const lines = Array.from({ length: rows }, (_, i) =>
    JSON.stringify({
      messages: [
        { role: "user", content: `${mark} Which book is number ${i}?` },
        { role: "assistant", content: `Ahoy! Number ${i} is a fine tale of the sea.` },
      ],
    }),
  );
  return new File([lines.join("\n")], "chats.jsonl", { type: "application/jsonl" });
}

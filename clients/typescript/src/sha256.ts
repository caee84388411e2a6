/** SHA-256 of bytes that arrive one after the other, which browsers' Web Crypto lacks. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Digest } from "./md5.js";

/** Create a SHA-256 digest. */
export function newSha256(): Digest {
  const hash = sha256.create();
  return { update: (bytes) => void hash.update(bytes), hex: () => bytesToHex(hash.digest()) };
}

/** MD5, which browsers' own cryptography lacks. It finds damage; it guards nothing. */

import { md5 } from "js-md5";

/** A digest that grows with the bytes it is given. */
export interface Digest {
  update(bytes: Uint8Array): void;
  hex(): string;
}

/** A new MD5. */
export function newMd5(): Digest {
  const hash = md5.create();
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.hex() };
}

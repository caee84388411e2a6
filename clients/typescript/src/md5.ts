/** MD5, which browsers' Web Crypto lacks. It detects corruption; it is not for security. */

import { md5 } from "js-md5";

/** An incremental digest. */
export interface Digest {
  update(bytes: Uint8Array): void;
  hex(): string;
}

/** Create an MD5 digest. */
export function newMd5(): Digest {
  const hash = md5.create();
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.hex() };
}

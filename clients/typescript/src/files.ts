/** Files: what the generated methods lack. */

import type { ReturnedBy } from "./promise.js";
import { Files as FileRoutes } from "./resources.js";
import type { Uploadable } from "./source.js";
import type { UploadOptions } from "./uploads.js";
import { type WaitOptions, waitFor } from "./wait.js";

type FileObject = ReturnedBy<FileRoutes["retrieve"]>;

export class Files extends FileRoutes {
  /**
   * Upload a Blob or a File in parallel parts, which are verified. An interrupted upload can be
   * resumed. To upload a path on Node, see `uploadPath` in `@finetuned/client/node`.
   */
  async upload(file: Uploadable, options: UploadOptions = {}): Promise<FileObject> {
    const { upload } = await import("./uploads.js"); // with MD5, which only uploads need
    return upload(this.client, file, options);
  }

  /** Return a file once its rows are checked. Check its `status`: `processed` or `error`. */
  wait(fileId: string, options?: WaitOptions<FileObject>): Promise<FileObject> {
    return waitFor((request) => this.retrieve(fileId, request), options);
  }
}

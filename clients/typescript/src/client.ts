/** The client: all resources of the API, with what the generated methods lack. */

import { ModelExports } from "./exports.js";
import { Files } from "./files.js";
import { ModelImports } from "./imports.js";
import { FineTuning } from "./jobs.js";
import { Resources } from "./resources.js";

/** Client for the service. Its resources and methods have the names of OpenAI's SDK. */
export class Finetuned extends Resources {
  override readonly files = new Files(this);
  override readonly fineTuning = new FineTuning(this);
  override readonly modelExports = new ModelExports(this);
  override readonly modelImports = new ModelImports(this);
}

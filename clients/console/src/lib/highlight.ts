/** Highlights source code. Imported when it is needed, and alone: lowlight's index has 190 grammars. */

export { createLowlight } from "lowlight";

/** The components that most pages use. Heavier ones, such as tables and charts, are imported alone. */

export { default as Button } from "./components/Button.svelte";
export { default as Confirm } from "./components/Confirm.svelte";
export { default as Copy } from "./components/Copy.svelte";
export { default as Dialog } from "./components/Dialog.svelte";
export { default as Empty } from "./components/Empty.svelte";
export { default as EnglishNote } from "./components/EnglishNote.svelte";
export { default as Failure } from "./components/Failure.svelte";
export { default as Field } from "./components/Field.svelte";
export { default as Forbidden } from "./components/Forbidden.svelte";
export { default as FormDialog } from "./components/FormDialog.svelte";
export { default as Loaded } from "./components/Loaded.svelte";
export { default as Meter } from "./components/Meter.svelte";
export { default as OperationStatus } from "./components/OperationStatus.svelte";
export { default as PageHead } from "./components/PageHead.svelte";
export { default as Panel } from "./components/Panel.svelte";
export { default as Progress } from "./components/Progress.svelte";
export { default as Search } from "./components/Search.svelte";
export { default as Select } from "./components/Select.svelte";
export { default as Skeleton } from "./components/Skeleton.svelte";
export { default as Status } from "./components/Status.svelte";
export { default as Tabs } from "./components/Tabs.svelte";
export { default as Untrusted } from "./components/Untrusted.svelte";
export { default as When } from "./components/When.svelte";

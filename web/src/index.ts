export { applyChange, clockOf, compare, EPOCH, fold } from "./apply";
export { approve, type Decision, giveFeedback, reject } from "./approve";
export { type Edit, editOf, isSame, stamp } from "./diff";
export { type StagingEffect, type StagingOptions, startServerIterationStaging } from "./effect";
export { DEVICE_ACTOR, type Host, type ToolCall } from "./host";
export { isDecided, mergeIterations, readable as readableIterations, stepsOf } from "./iterations";
export { type CheckedParams, checkParams, type ParamFault } from "./params";
export { isUnstaged, planStaging, proposalIdOf, type Staging, type StagingInput } from "./staging";
export * from "./types";

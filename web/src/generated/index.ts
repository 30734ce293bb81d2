// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

export type * from "./Actor";
export type * from "./AiActor";
export type * from "./Intent";
export type * from "./IterationSource";
export type * from "./IterationStatus";
export type * from "./Mission";
export type * from "./MissionCadence";
export type * from "./MissionInputRef";
export type * from "./MissionIteration";
export type * from "./MissionState";
export type * from "./Note";
export type * from "./PlanStep";
export type * from "./Proposal";
export type * from "./ProposalStatus";
export type * from "./StepStatus";
export type * from "./SystemActor";
export type * from "./SystemSource";
export type * from "./TickStats";
export type * from "./Tool";
export type * from "./ToolCall";
export type * from "./ToolParameter";
export type * from "./ToolParameterFormat";
export type * from "./ToolParameterType";
export type * from "./ToolParams";
export type * from "./UserActor";
export { TOOLS } from "./tools";

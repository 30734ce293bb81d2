/** A parameter of a tool, as the allow-list describes it. */
export type ToolParameter = {
  name: string;
  type: "string" | "number" | "boolean";
  required: boolean;
  enum?: ReadonlyArray<string>;
  format?: "YYYY-MM-DD" | "ISO 8601";
};

/** A tool of one of the suite's apps that a plan may propose. */
export type Tool = { name: string; module: string; parameters: ReadonlyArray<ToolParameter> };

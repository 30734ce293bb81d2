// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/** What each tool takes. Unknown extras are allowed. */
export type ToolParams = {
  create_task: {
    title: string;
    dueDate?: string;
    priority?: "low" | "medium" | "high";
    description?: string;
  };
  complete_task: {
    taskId: string;
  };
  complete_tasks_by_title: {
    titleMatch: string;
  };
  create_event: {
    title: string;
    startTime: string;
    endTime: string;
    isAllDay?: boolean;
    location?: string;
    description?: string;
  };
  create_place: {
    name: string;
    latitude: number;
    longitude: number;
    category?: "home" | "work" | "food" | "shopping" | "sport" | "culture" | "nature" | "transport" | "health" | "education" | "nightlife" | "other";
    address?: string;
  };
  record_visit: {
    placeId: string;
  };
  undo_last_drink: Record<string, never>;
};

/** The name of a tool, exactly as a step writes it. */
export type ToolName = keyof ToolParams;

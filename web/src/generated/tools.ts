import type { Tool } from "./Tool";

/** The allow-list: every tool that a plan may propose. */
export const TOOLS: ReadonlyArray<Tool> = [
  {
    name: "create_task",
    module: "todo",
    parameters: [
      { name: "title", type: "string", required: true },
      { name: "dueDate", type: "string", required: false, format: "YYYY-MM-DD" },
      { name: "priority", type: "string", required: false, enum: ["low", "medium", "high"] },
      { name: "description", type: "string", required: false },
    ],
  },
  {
    name: "complete_task",
    module: "todo",
    parameters: [{ name: "taskId", type: "string", required: true }],
  },
  {
    name: "complete_tasks_by_title",
    module: "todo",
    parameters: [{ name: "titleMatch", type: "string", required: true }],
  },
  {
    name: "create_event",
    module: "calendar",
    parameters: [
      { name: "title", type: "string", required: true },
      { name: "startTime", type: "string", required: true, format: "ISO 8601" },
      { name: "endTime", type: "string", required: true, format: "ISO 8601" },
      { name: "isAllDay", type: "boolean", required: false },
      { name: "location", type: "string", required: false },
      { name: "description", type: "string", required: false },
    ],
  },
  {
    name: "create_place",
    module: "places",
    parameters: [
      { name: "name", type: "string", required: true },
      { name: "latitude", type: "number", required: true },
      { name: "longitude", type: "number", required: true },
      {
        name: "category",
        type: "string",
        required: false,
        enum: [
          "home",
          "work",
          "food",
          "shopping",
          "sport",
          "culture",
          "nature",
          "transport",
          "health",
          "education",
          "nightlife",
          "other",
        ],
      },
      { name: "address", type: "string", required: false },
    ],
  },
  {
    name: "record_visit",
    module: "places",
    parameters: [{ name: "placeId", type: "string", required: true }],
  },
  {
    name: "undo_last_drink",
    module: "drink",
    parameters: [],
  },
];

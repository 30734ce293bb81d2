// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

import type { Tool } from "./Tool";

/** The allow-list: every tool that a plan may propose. */
export const TOOLS: ReadonlyArray<Tool> = [
  {
    "module": "todo",
    "name": "create_task",
    "parameters": [
      {
        "name": "title",
        "required": true,
        "type": "string"
      },
      {
        "format": "YYYY-MM-DD",
        "name": "dueDate",
        "required": false,
        "type": "string"
      },
      {
        "enum": [
          "low",
          "medium",
          "high"
        ],
        "name": "priority",
        "required": false,
        "type": "string"
      },
      {
        "name": "description",
        "required": false,
        "type": "string"
      }
    ]
  },
  {
    "module": "todo",
    "name": "complete_task",
    "parameters": [
      {
        "name": "taskId",
        "required": true,
        "type": "string"
      }
    ]
  },
  {
    "module": "todo",
    "name": "complete_tasks_by_title",
    "parameters": [
      {
        "name": "titleMatch",
        "required": true,
        "type": "string"
      }
    ]
  },
  {
    "module": "calendar",
    "name": "create_event",
    "parameters": [
      {
        "name": "title",
        "required": true,
        "type": "string"
      },
      {
        "format": "ISO 8601",
        "name": "startTime",
        "required": true,
        "type": "string"
      },
      {
        "format": "ISO 8601",
        "name": "endTime",
        "required": true,
        "type": "string"
      },
      {
        "name": "isAllDay",
        "required": false,
        "type": "boolean"
      },
      {
        "name": "location",
        "required": false,
        "type": "string"
      },
      {
        "name": "description",
        "required": false,
        "type": "string"
      }
    ]
  },
  {
    "module": "places",
    "name": "create_place",
    "parameters": [
      {
        "name": "name",
        "required": true,
        "type": "string"
      },
      {
        "name": "latitude",
        "required": true,
        "type": "number"
      },
      {
        "name": "longitude",
        "required": true,
        "type": "number"
      },
      {
        "enum": [
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
          "other"
        ],
        "name": "category",
        "required": false,
        "type": "string"
      },
      {
        "name": "address",
        "required": false,
        "type": "string"
      }
    ]
  },
  {
    "module": "places",
    "name": "record_visit",
    "parameters": [
      {
        "name": "placeId",
        "required": true,
        "type": "string"
      }
    ]
  },
  {
    "module": "drink",
    "name": "undo_last_drink",
    "parameters": []
  }
];

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkParams, TOOLS } from "../../src/index";

const tool = (name: string) => TOOLS.find((one) => one.name === name) as (typeof TOOLS)[number];

describe("checkParams", () => {
  it.each([
    ["create_task", { title: "x" }],
    ["create_task", { title: "x", dueDate: "morgen", priority: null, more: [1] }],
    ["create_place", { name: "x", latitude: "52.5", longitude: -13 }],
    ["undo_last_drink", null],
  ])("%s takes %j", (name, params) => expect(checkParams(tool(name), params)).toMatchObject({ ok: true }));

  it.each([
    ["create_task", {}, "title", "missing"],
    ["create_task", null, "title", "missing"],
    ["create_task", { title: null }, "title", "missing"],
    ["create_task", { title: "x", priority: "urgent" }, "priority", "not allowed"],
    ["create_place", { name: "x", latitude: "north", longitude: 1 }, "latitude", "no number"],
    ["create_place", { name: "x", latitude: "", longitude: 1 }, "latitude", "no number"],
    ["create_place", { name: "x", latitude: "0x1f", longitude: 1 }, "latitude", "no number"],
    ["create_place", { name: "x", latitude: [1], longitude: 1 }, "latitude", "no number"],
    ["create_place", { name: "x", latitude: 1, longitude: Number.NaN }, "longitude", "no number"],
  ])("%s refuses %j", (name, params, parameter, fault) => {
    expect(checkParams(tool(name), params)).toEqual({ ok: false, parameter, fault });
  });

  it("makes numbers of texts that are numbers, and keeps extras", () => {
    const checked = checkParams(tool("create_place"), { name: "x", latitude: " 52.5 ", longitude: "1e1", extra: {} });
    expect(checked).toEqual({ ok: true, params: { name: "x", latitude: 52.5, longitude: 10, extra: {} } });
  });
});

it("the allow-list is the one of the contract", () => {
  const contract = readFileSync(new URL("../../../tests/contract/tools.json", import.meta.url), "utf8");
  expect(TOOLS).toEqual(JSON.parse(contract));
});

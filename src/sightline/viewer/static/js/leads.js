/** Where a number or a point of a chart leads: to what it tells of, and no filter of before hides it. */
import { filterKeys, link } from "./state.js";

const CLEARED = Object.fromEntries([...filterKeys, "sort", "desc"].map((key) => [key, null]));

/** What a click on a point with these parameters changes in the state. */
export const target = (custom) => ({ ...CLEARED, ...custom });

/** Address of the page Images with these filters alone. */
export const toImages = (filters) => link(target({ page: "images", ...filters }));

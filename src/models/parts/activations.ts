export { type Activation, activate, activationNames } from "../../graph/activations.js";

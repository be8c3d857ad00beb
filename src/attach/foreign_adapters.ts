import { PeftError } from "../errors.js";
import type { StoredTensor } from "../hub/checkpoint.js";
import { methods } from "../methods/registry.js";

/** A message that tells what lies in an adapter's place. */
export interface Foreign {
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

type Config = Readonly<Record<string, unknown>>;

/** adapter_config.json of others than PEFT, by what stands in it. */
const configs: readonly {
  readonly is: (json: Config) => boolean;
  readonly told: (path: string) => Foreign;
}[] = [
  {
    is: (json) => "fine_tune_type" in json || "lora_parameters" in json,
    told: (path) => ({
      what: `"${path}" is an adapter of MLX (mlx-lm), not of PEFT.`,
      why: "it names a fine_tune_type where PEFT names a peft_type, and MLX stores its tensors transposed, by other names.",
      fix: "merge it with mlx_lm.fuse --save-path FOLDER and load the merged model, or convert its adapters.safetensors to PEFT's names.",
    }),
  },
  {
    is: (json) => "architectures" in json || ("model_type" in json && "hidden_size" in json),
    told: (path) => ({
      what: `"${path}" is the config.json of a model, not of an adapter.`,
      why: "it names architectures or a model_type, and no peft_type.",
      fix: "load the folder as a model; an adapter's own adapter_config.json names its peft_type and base_model_name_or_path.",
    }),
  },
];

/** Methods of Python's PEFT that are not built here, with the reason where their files are in the way. */
const elsewhere: Readonly<Record<string, string>> = {
  ADAMSS: ", as the sizes of its tensors come from clusters that its file does not hold",
  FROD: ", as its file lacks one of its factors, which Python decomposes the base again for",
  PSOFT: ", as its file holds rotations between singular vectors whose signs it does not hold",
  SHADOW: ", as a second model of the same class runs beside the base",
  XLORA: ", as it weighs several LoRAs by a first pass through the whole model",
  BONE: "",
};

/** Why a config names no method that is known here. */
export function unknownMethod(peftType: unknown, json: Config = {}, path = "adapter_config.json"): PeftError {
  const foreign = configs.find(({ is }) => peftType === undefined && is(json))?.told(path);
  if (foreign !== undefined) return new PeftError("unknown-method", foreign);
  const reason =
    typeof peftType === "string" && Object.hasOwn(elsewhere, peftType) ? elsewhere[peftType] : undefined;
  const known = methods.all.map((m) => m.config.peftType).join(", ");
  if (peftType === undefined || peftType === null)
    return new PeftError("unknown-method", {
      what: `"${path}" names no peft_type.`,
      why: `it says which method an adapter is of: ${known}.`,
      fix: 'add it to the file, as for LoRA: "peft_type": "LORA".',
    });
  return new PeftError("unknown-method", {
    what: `peft_type ${JSON.stringify(peftType)} is not known.`,
    why:
      reason === undefined
        ? `peft.js has ${known}.`
        : `it is a method of Python's PEFT that peft.js does not have${reason} (docs/methods.md, "Not built"); it has ${known}.`,
    fix:
      reason === undefined
        ? "use one of these methods."
        : "merge it in Python (merge_and_unload) and load the merged model, or train one of these.",
  });
}

const keyKinds: readonly { readonly is: RegExp; readonly told: Foreign }[] = [
  {
    is: /(^|\.)_flat_param$|\.flat_param(_\d+)?$/,
    told: {
      what: "holds FSDP's flat parameters, not an adapter's tensors.",
      why: "FSDP saved what one process holds of several tensors in one (a sharded or local state dict).",
      fix: "save it where it was trained with a full state dict: fsdp_state_dict_type: FULL_STATE_DICT, then trainer.save_model().",
    },
  },
  {
    is: /^lora_(unet|te\d?|transformer)_.*\.(lora_(down|up)\.weight|alpha)$/,
    told: {
      what: "is a LoRA of Kohya's scripts, for an image model.",
      why: "its keys are lora_unet_... and lora_te_..., with lora_down and lora_up.",
      fix: "load it with a library for image models (diffusers: load_lora_weights); peft.js has language models.",
    },
  },
  {
    is: /^(unet|text_encoder(_\d)?|transformer)\.|^diffusion_model\.|\.processor\.to_[qkv]_lora\./,
    told: {
      what: "is a LoRA of diffusers, for an image model.",
      why: "its keys begin with unet., transformer. or text_encoder., the parts of a pipeline.",
      fix: "load it with diffusers (load_lora_weights); peft.js has language models.",
    },
  },
  {
    is: /\.lora_[ab]$/,
    told: {
      what: "is an adapter of MLX (mlx-lm), not of PEFT.",
      why: "its keys end in lora_a and lora_b, and MLX stores both transposed.",
      fix: "merge it with mlx_lm.fuse --save-path FOLDER and load the merged model.",
    },
  },
  {
    is: /\.(loras|adapters|prefix_tunings?)\.[^.]+\./,
    told: {
      what: "is an adapter of the adapters library (AdapterHub), not of PEFT.",
      why: "its keys hold adapters.NAME or loras.NAME; peft.js reads such files where their adapter_config.json is beside them, of bottlenecks.",
      fix: "keep the names that save_adapter gives: adapter_config.json, and adapter.safetensors or pytorch_adapter.bin.",
    },
  },
];

/**
 * What a file that fits nothing is instead, by its tensors, in words that follow its name; undefined: nothing
 * that is known.
 */
export function foreignKeys(tensors: readonly Pick<StoredTensor, "name" | "shape">[]): Foreign | undefined {
  const kind = keyKinds.find(({ is }) => tensors.some(({ name }) => is.test(name)));
  if (kind !== undefined) return kind.told;
  const empty = tensors.filter(({ shape }) => shape.includes(0));
  if (empty.length === 0) return undefined;
  return {
    what: `has ${empty.length} empty tensors of ${tensors.length}, such as ${empty[0]?.name}.`,
    why: "DeepSpeed ZeRO-3 keeps only parts of a tensor in each process, and they were saved without being gathered.",
    fix: "save it again with stage3_gather_16bit_weights_on_model_save: true, or gather its checkpoint with zero_to_fp32.py.",
  };
}

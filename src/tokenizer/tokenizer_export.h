// Carrying a tokenizer along when a model is written in another format. What the other format
// cannot express is refused.
#pragma once

#include <cstdint>
#include <filesystem>

#include "formats/gguf_value.h"

namespace outsize {

// Writes the tokenizer of `model` (Hugging Face folder or GGUF file) into `folder`, which exists:
// tokenizer.json, tokenizer_config.json and, where the model has one, its chat template. From a
// folder the files are copied as they are (generation_config.json too). From GGUF they are made:
// ids equal llama.cpp's for the GGUF file, but for the few names that it takes for control tokens
// against the file's types (gguf_tokenizer.cc).
// Throws as load_tokenizer; Unsupported when a token is not UTF-8 or appears twice; Io.
void export_tokenizer_to_hf(const std::filesystem::path& model,
                            const std::filesystem::path& folder);

// The tokenizer.* keys for a GGUF file of `model`. From GGUF: all of its tokenizer.* keys as they
// are. From a Hugging Face folder: model "gpt2" with the label of its pattern, or "llama" with
// scores made from the order of the merges (one score per token: where a file's merges of several
// tokens alternate, as for runs of spaces in some, llama.cpp may cut such runs at other places, as
// it does after its own conversion); token lists are padded to `rows` (of the embedding).
// Throws as load_tokenizer; Unsupported when no label or model of llama.cpp cuts text in the same
// way; InvalidArgument when there are more tokens than rows.
GgufMetadata tokenizer_gguf_metadata(const std::filesystem::path& model, std::int64_t rows);

}  // namespace outsize

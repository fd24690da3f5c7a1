#include "train/export_model.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "train/model_source.h"
#include "train/show_plan.h"
#include "weights/export.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

void require_space(const fs::path& folder, std::int64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(folder.empty() ? "." : folder, error);
  if (!error && static_cast<std::int64_t>(space.available) < bytes)
    fail(ErrorKind::OutOfMemory,
         "[export] {}: too little room; got {} free; expected {}; try a folder on another disk, or "
         "a smaller --dtype",
         folder.string(), show_bytes(static_cast<std::int64_t>(space.available)),
         show_bytes(bytes));
}

std::int64_t export_bytes(const Model& model, const std::string& dtype) {
  std::int64_t elements = 0;
  for (const ProgramParameter& parameter : parameters_of(model, DType::f32))
    elements += parameter.type.shape.numel();
  return elements * (dtype == "f32" ? 4 : 2);
}

std::string name_in_config(DType dtype) {
  return dtype == DType::f32 ? "float32" : dtype == DType::bf16 ? "bfloat16" : "float16";
}

}  // namespace

void export_model(const ExportOptions& options) {
  const ModelSource source(options.model);
  const auto weights = source.weights();
  const std::int64_t bytes = export_bytes(source.model(), options.dtype);
  if (options.format == "gguf") {
    require_space(fs::absolute(options.out).parent_path(), bytes);
    write_gguf(source.model(), *weights, options.dtype, source.gguf_tokenizer(), options.out);
    return;
  }
  if (options.dtype == "q8_0")
    fail(ErrorKind::InvalidArgument,
         "[--dtype] q8_0 is a GGUF type; expected f32, bf16 or f16 with hf");
  const DType dtype = parse_dtype(options.dtype);
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error)
    fail(ErrorKind::Io, "[export] {}: cannot be created; got '{}'", options.out, error.message());
  require_space(options.out, bytes);
  nlohmann::json config = source.hf_config();
  config.erase("quantization_config");
  config.erase("torch_dtype");
  config["dtype"] = name_in_config(dtype);
  source.write_hf_tokenizer(options.out);
  write_hf_weights(source.model(), *weights, dtype, options.out);
  write_text_atomically(options.out + "/config.json", config.dump(2) + "\n");
}

}  // namespace outsize

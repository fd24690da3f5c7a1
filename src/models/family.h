// What a family's folder exports, and the list of all of them: adding a family is adding a folder
// and one line to families.inc.
#pragma once

#include "models/model.h"

namespace outsize {

struct Family {
  const char* model_type;         // config.json's model_type
  const char* gguf_architecture;  // general.architecture
  std::unique_ptr<Model> (*from_hf)(const JsonFields& config);
  std::unique_ptr<Model> (*from_gguf)(const GgufFile& file);
};

}  // namespace outsize

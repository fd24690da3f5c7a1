#include "tokenizer/tokenizer.h"

#include "core/error.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/hf_tokenizer.h"

namespace outsize {

namespace {

// A new kind of tokenizer file is one line here.
struct Loader {
  bool (*accepts)(const std::filesystem::path&);
  std::unique_ptr<Tokenizer> (*load)(const std::filesystem::path&);
};
constexpr Loader kLoaders[] = {
    {is_hf_tokenizer, load_hf_tokenizer},
    {is_gguf_tokenizer, load_gguf_tokenizer},
};

}  // namespace

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<TokenId> ids;
  encode(text, parse_special, ids);
  return ids;
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& model) {
  for (const Loader& loader : kLoaders) {
    if (loader.accepts(model)) return loader.load(model);
  }
  fail(ErrorKind::InvalidArgument,
       "[tokenizer] no tokenizer in '{}'; expected a folder with tokenizer.json or a GGUF file",
       model.string());
}

}  // namespace outsize

// What the data tests share: a tokenizer of single bytes, files in a folder of their own, and the
// ids a text becomes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "data/options.h"
#include "tokenizer/tokenizer.h"

namespace outsize::data_test {

inline constexpr TokenId kBos = 256;
inline constexpr TokenId kEos = 257;

// Ids 0–255 are bytes, 256 is <bos>, 257 is <eos>.
class ByteTokenizer : public Tokenizer {
 public:
  ByteTokenizer(bool adds_bos, bool has_eos) : adds_bos_(adds_bos), has_eos_(has_eos) {}

  void encode(std::string_view text, bool parse_special, std::vector<TokenId>& out) const override {
    for (std::size_t i = 0; i < text.size();) {
      const std::string_view rest = text.substr(i);
      const bool is_special =
          parse_special && (rest.starts_with("<bos>") || rest.starts_with("<eos>"));
      out.push_back(is_special ? (rest[1] == 'b' ? kBos : kEos)
                               : static_cast<unsigned char>(text[i]));
      i += is_special ? 5 : 1;
    }
  }
  std::string token_bytes(TokenId id) const override {
    if (id == kBos) return "<bos>";
    if (id == kEos) return "<eos>";
    return id < 0 || id > 255 ? "" : std::string(1, static_cast<char>(id));
  }
  std::string decode(std::span<const TokenId> ids, bool) const override {
    std::string text;
    for (const TokenId id : ids) text += token_bytes(id);
    return text;
  }
  std::int64_t vocabulary_size() const override { return 258; }
  bool is_special(TokenId id) const override { return id == kBos || id == kEos; }
  TokenId bos_id() const override { return kBos; }
  TokenId eos_id() const override { return has_eos_ ? kEos : -1; }
  std::vector<TokenId> stop_ids() const override {
    return has_eos_ ? std::vector<TokenId>{kEos} : std::vector<TokenId>{};
  }
  bool adds_bos() const override { return adds_bos_; }
  const std::string& chat_template() const override { return chat_template_; }

 private:
  bool adds_bos_;
  bool has_eos_;
  std::string chat_template_;
};

// A folder that goes with the test.
class TemporaryFiles {
 public:
  TemporaryFiles() {
    path_ = (std::filesystem::temp_directory_path() / "outsize-data-test-XXXXXX").string();
    if (!::mkdtemp(path_.data())) fail(ErrorKind::Io, "[test] no temporary folder");
  }
  ~TemporaryFiles() { std::filesystem::remove_all(path_); }
  std::filesystem::path path(const std::string& name) const {
    return std::filesystem::path(path_) / name;
  }
  std::filesystem::path write(const std::string& name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

 private:
  std::string path_;
};

inline DataOptions options_for(std::vector<std::filesystem::path> files, std::int64_t length) {
  DataOptions options;
  options.files = std::move(files);
  options.sequence_length = length;
  return options;
}

}  // namespace outsize::data_test

#include "tokenizer/samples.h"

#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "formats/json.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

std::string decode_base64(const std::string& text) {
  static const std::string kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0, count = 0;
  for (const char c : text) {
    const std::size_t value = kDigits.find(c);
    if (value == std::string::npos) break;
    bits = bits << 6 | static_cast<unsigned>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> count & 0xFF));
  }
  return out;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "outsize-tokenizer-XXXXXX");
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> sample_texts() {
  std::vector<std::string> texts;
  for (const auto& text : read_json((data_folder() / "texts.json").string())) {
    texts.push_back(decode_base64(text.get<std::string>()));
  }
  return texts;
}

std::string random_text(std::mt19937_64& random, int characters) {
  struct Range {
    char32_t first, last;
  };
  static constexpr Range kRanges[] = {
      {0x20, 0x7E},     {0x20, 0x7E},     {0x20, 0x20},       {0x09, 0x0D},       {'\'', '\''},
      {'0', '9'},       {0xA0, 0x17F},    {0x300, 0x36F},     {0x391, 0x3A1},     {0x410, 0x44F},
      {0x5D0, 0x5EA},   {0x660, 0x669},   {0x905, 0x939},     {0x1160, 0x11FF},   {0x2000, 0x206F},
      {0x2150, 0x2188}, {0x3041, 0x3096}, {0x4E00, 0x9FA5},   {0xAC00, 0xD7A3},   {0xFF10, 0xFF19},
      {0x180E, 0x180E}, {0x85, 0x85},     {0x1F600, 0x1F64F}, {0x10400, 0x1044F}, {0x17F, 0x17F},
  };
  static const std::vector<std::string> kWords = {"'s",   "'LL", "don't", "  ",   "\r\n",  "\n\n",
                                                  " \n ", "the", " The",  "1234", "\u2581"};
  std::string out;
  const int count = static_cast<int>(random() % (characters + 1));
  for (int i = 0; i < count; ++i) {
    if (random() % 8 == 0) {
      out += kWords[random() % kWords.size()];
      continue;
    }
    const Range& range = kRanges[random() % std::size(kRanges)];
    append_utf8(range.first + static_cast<char32_t>(random() % (range.last - range.first + 1)),
                out);
  }
  return out;
}

std::string small_tokenizer_json() {
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[
{"id":9,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,
"normalized":false,"special":true},
{"id":10,"content":"</s>","single_word":false,"lstrip":true,"rstrip":true,
"normalized":false,"special":true},
{"id":11,"content":"<é>","single_word":true,"lstrip":false,"rstrip":false,
"normalized":true,"special":false}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},
{"type":"Replace","pattern":{"Regex":"z+"},"content":"b"}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[
{"type":"Split","pattern":{"Regex":"\\w+|\\s+"},"behavior":"Isolated","invert":false},
{"type":"Digits","individual_digits":true},
{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},
"post_processor":{"type":"TemplateProcessing","single":[
{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[9],"tokens":["<s>"]}}},
"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,
"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,
"vocab":{"a":0,"b":1,"Ġ":2,"c":3,"ab":4,"Ġab":5,"abc":6,"Ã":7,"©":8},
"merges":["a b",["Ġ","ab"],["ab","c"]]}})";
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::remove(path);  // some file systems flush a file that is overwritten
  std::ofstream(path, std::ios::binary)
      .write(text.data(), static_cast<std::streamsize>(text.size()));
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace outsize

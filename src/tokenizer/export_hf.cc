// Hugging Face tokenizer files: copied from a folder, or made from a GGUF vocabulary.
#include <fmt/core.h>

#include <algorithm>
#include <unordered_set>

#include "core/error.h"
#include "core/file.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/json_text.h"
#include "tokenizer/spelling.h"
#include "tokenizer/string_index.h"
#include "tokenizer/tokenizer_export.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

namespace fs = std::filesystem;

// What transformers and other readers look for.
constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
};

void copy_whole(const fs::path& from, const fs::path& to) {
  const File source = File::open(from.string());
  AtomicFile target(to.string());
  std::string buffer(std::min<std::uint64_t>(source.size(), 1 << 20), '\0');
  for (std::uint64_t at = 0; at < source.size();) {
    const std::size_t bytes = std::min<std::uint64_t>(buffer.size(), source.size() - at);
    source.read_at(at, buffer.data(), bytes);
    target.write(buffer.data(), bytes);
    at += bytes;
  }
  target.commit();
}

void write(AtomicFile& file, std::string_view text) {
  file.write(text.data(), text.size());
}

// JSON holds valid UTF-8 and one id per text.
void check_tokens(const GgufVocabulary& vocabulary) {
  std::unordered_set<std::string_view> seen;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& text = vocabulary.tokens[id];
    if (!is_valid_utf8(text) || !seen.insert(text).second) {
      fail(ErrorKind::Unsupported,
           "[{}] token {} cannot be written to tokenizer.json; expected UTF-8 text that no other "
           "token has",
           vocabulary.file, id);
    }
  }
}

struct MergePair {
  std::string_view left, right;
};

// Every way to put a token together from two others, in the order in which scores would merge them:
// best score first; within a token, the shorter left part first.
std::vector<MergePair> merges_from_scores(const GgufVocabulary& vocabulary) {
  const std::size_t count = vocabulary.tokens.size();
  StringIndex index(count);
  for (std::size_t id = 0; id < count; ++id) {
    index.insert(vocabulary.tokens[id], static_cast<TokenId>(id));
  }
  std::vector<TokenId> order(count);
  for (std::size_t id = 0; id < count; ++id) order[id] = static_cast<TokenId>(id);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return vocabulary.scores[a] > vocabulary.scores[b];
  });
  std::vector<MergePair> merges;
  for (const TokenId id : order) {
    const std::string_view text = vocabulary.tokens[id];
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      const std::string_view left = text.substr(0, cut), right = text.substr(cut);
      if (index.find(left) >= 0 && index.find(right) >= 0) merges.push_back({left, right});
    }
  }
  return merges;
}

std::vector<MergePair> merges_as_listed(const GgufVocabulary& vocabulary) {
  std::vector<MergePair> merges;
  for (const std::string_view text : vocabulary.merges) {
    const std::size_t space = text.find(' ', 1);
    merges.push_back({text.substr(0, space), text.substr(space + 1)});
  }
  return merges;
}

void write_added_tokens(const GgufVocabulary& vocabulary, AtomicFile& file) {
  const char* separator = "\n    ";
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const GgufTokenType type = vocabulary.types[id];
    const bool special = type == GgufTokenType::Control || type == GgufTokenType::Unknown;
    if (!special && type != GgufTokenType::UserDefined) continue;
    write(file, fmt::format("{}{{\"id\": {}, \"content\": {}, \"single_word\": false, \"lstrip\": "
                            "false, \"rstrip\": false, \"normalized\": false, \"special\": {}}}",
                            separator, id, json_quoted(vocabulary.tokens[id]), special));
    separator = ",\n    ";
  }
}

void write_model(const GgufVocabulary& vocabulary, const std::vector<MergePair>& merges,
                 std::string_view options, AtomicFile& file) {
  write(file,
        fmt::format("{{\n    \"type\": \"BPE\", \"dropout\": null, \"continuing_subword_prefix\": "
                    "null, \"end_of_word_suffix\": null, {},\n    \"vocab\": {{",
                    options));
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    write(file, fmt::format("{}{}: {}", id == 0 ? "\n      " : ",\n      ",
                            json_quoted(vocabulary.tokens[id]), id));
  }
  write(file, "\n    },\n    \"merges\": [");
  const char* separator = "\n      ";
  for (const MergePair& merge : merges) {
    write(file,
          fmt::format("{}[{}, {}]", separator, json_quoted(merge.left), json_quoted(merge.right)));
    separator = ",\n      ";
  }
  write(file, "\n    ]\n  }");
}

std::string post_processor_text(const GgufVocabulary& vocabulary, bool adds_bos) {
  if (!adds_bos) return "null";
  const std::string bos = json_quoted(vocabulary.tokens[vocabulary.bos]);
  const std::string token =
      fmt::format("{{\"SpecialToken\": {{\"id\": {}, \"type_id\": 0}}}}", bos);
  return fmt::format(
      "{{\"type\": \"TemplateProcessing\", \"single\": [{0}, {{\"Sequence\": {{\"id\": \"A\", "
      "\"type_id\": 0}}}}], \"pair\": [{0}, {{\"Sequence\": {{\"id\": \"A\", \"type_id\": 0}}}}, "
      "{1}, {{\"Sequence\": {{\"id\": \"B\", \"type_id\": 1}}}}], \"special_tokens\": {{{2}: "
      "{{\"id\": {2}, \"ids\": [{3}], \"tokens\": [{2}]}}}}}}",
      token, fmt::format("{{\"SpecialToken\": {{\"id\": {}, \"type_id\": 1}}}}", bos), bos,
      vocabulary.bos);
}

// The parts of tokenizer.json in which the two kinds differ.
struct KindText {
  std::string normalizer, pre_tokenizer, decoder, model_options;
};

KindText spm_text(const GgufVocabulary& vocabulary, bool space_prefix) {
  const std::string replace = R"({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})";
  const std::string prepend = R"({"type": "Prepend", "prepend": "▁"})";
  KindText text;
  text.normalizer =
      space_prefix
          ? fmt::format("{{\"type\": \"Sequence\", \"normalizers\": [{}, {}]}}", prepend, replace)
          : replace;
  text.pre_tokenizer = "null";
  text.decoder = fmt::format(
      "{{\"type\": \"Sequence\", \"decoders\": [{{\"type\": \"Replace\", \"pattern\": "
      "{{\"String\": "
      "\"▁\"}}, \"content\": \" \"}}, {{\"type\": \"ByteFallback\"}}, {{\"type\": \"Fuse\"}}{}]}}",
      space_prefix ? R"(, {"type": "Strip", "content": " ", "start": 1, "stop": 0})" : "");
  const std::string unk =
      vocabulary.unk < 0 ? "null" : json_quoted(vocabulary.tokens[vocabulary.unk]);
  text.model_options = fmt::format(
      "\"unk_token\": {}, \"fuse_unk\": true, \"byte_fallback\": true, \"ignore_merges\": false",
      unk);
  return text;
}

KindText byte_level_text(const GgufPattern& pattern) {
  const auto split = [](std::string_view regex) {
    return fmt::format(
        "{{\"type\": \"Split\", \"pattern\": {{\"Regex\": {}}}, \"behavior\": "
        "\"Isolated\", \"invert\": false}}, ",
        json_quoted(regex));
  };
  const std::string byte_level =
      R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, )"
      R"("use_regex": false})";
  KindText text;
  text.normalizer = "null";
  text.pre_tokenizer = fmt::format("{{\"type\": \"Sequence\", \"pretokenizers\": [{}{}{}]}}",
                                   pattern.digits_first ? split(R"(\p{N})") : "",
                                   split(text_of(pattern.pattern)), byte_level);
  text.decoder = byte_level;
  text.model_options = fmt::format(
      "\"unk_token\": null, \"fuse_unk\": false, \"byte_fallback\": false, "
      "\"ignore_merges\": {}",
      pattern.ignore_merges);
  return text;
}

void write_tokenizer_json(const GgufVocabulary& vocabulary, bool adds_bos, const fs::path& path) {
  const bool spm = vocabulary.model == "llama";
  const KindText text = spm ? spm_text(vocabulary, vocabulary.add_space_prefix != 0)
                            : byte_level_text(*find_gguf_pattern(vocabulary.pre));
  AtomicFile file(path.string());
  write(file,
        "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
        "  \"added_tokens\": [");
  write_added_tokens(vocabulary, file);
  write(file, fmt::format("\n  ],\n  \"normalizer\": {},\n  \"pre_tokenizer\": {},\n"
                          "  \"post_processor\": {},\n  \"decoder\": {},\n  \"model\": ",
                          text.normalizer, text.pre_tokenizer,
                          post_processor_text(vocabulary, adds_bos), text.decoder));
  write_model(vocabulary, spm ? merges_from_scores(vocabulary) : merges_as_listed(vocabulary),
              text.model_options, file);
  write(file, "\n}\n");
  file.commit();
}

void write_tokenizer_config(const GgufVocabulary& vocabulary, bool adds_bos, const fs::path& path) {
  // The class that takes tokenizer.json as it is; family classes rebuild parts of it.
  std::string text =
      "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
      "  \"clean_up_tokenization_spaces\": false";
  // Files are known that name an ordinary token (a comma) as BOS; transformers would make it
  // special.
  const auto add_token = [&](const char* name, TokenId id) {
    if (id >= 0 && vocabulary.types[id] != GgufTokenType::Normal) {
      text += fmt::format(",\n  \"{}\": {}", name, json_quoted(vocabulary.tokens[id]));
    }
  };
  add_token("bos_token", vocabulary.bos);
  add_token("eos_token", vocabulary.eos);
  add_token("unk_token", vocabulary.unk);
  add_token("pad_token", vocabulary.pad);
  text += fmt::format(",\n  \"add_bos_token\": {}", adds_bos);
  if (!vocabulary.chat_template.empty()) {
    text += ",\n  \"chat_template\": " + json_quoted(vocabulary.chat_template);
  }
  write_text_atomically(path.string(), text + "\n}\n");
}

}  // namespace

void export_tokenizer_to_hf(const fs::path& model, const fs::path& folder) {
  if (is_hf_tokenizer(model)) {
    for (const char* name : kTokenizerFiles) {
      if (fs::exists(model / name)) copy_whole(model / name, folder / name);
    }
    return;
  }
  const GgufFile file(model.string());
  const GgufVocabulary vocabulary = read_gguf_vocabulary(file);
  const bool adds_bos = make_gguf_tokenizer(vocabulary)->adds_bos();  // refuses unknown kinds
  check_tokens(vocabulary);
  write_tokenizer_json(vocabulary, adds_bos, folder / "tokenizer.json");
  write_tokenizer_config(vocabulary, adds_bos, folder / "tokenizer_config.json");
}

}  // namespace outsize

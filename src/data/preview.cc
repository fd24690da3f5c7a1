#include "data/preview.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/packer.h"
#include "data/shuffle.h"
#include "data/utf8.h"

namespace outsize {
namespace {

enum class Part { masked, trained, special };

struct Marks {
  const char* begin;
  const char* end;
};

Marks marks_of(Part part, const PreviewStyle& style) {
  if (!style.ansi) return part == Part::masked ? Marks{"⟦", "⟧"} : Marks{"", ""};
  switch (part) {
    case Part::masked:
      return {"\x1b[2m", "\x1b[0m"};
    case Part::trained:
      return {"\x1b[1m", "\x1b[0m"};
    case Part::special:
      return {"\x1b[36m", "\x1b[39m"};
  }
  return {"", ""};
}

bool is_printable(std::string_view character) {
  const unsigned char first = static_cast<unsigned char>(character[0]);
  if (first == '\n' || first == '\t') return true;
  if (first < 0x20 || first == 0x7f) return false;
  // C1 controls (U+0080–U+009F) and the marks that turn the direction of text around.
  if (character.size() == 2 && first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0)
    return false;
  return !(character >= "\u202a" && character <= "\u202e") &&
         !(character >= "\u2066" && character <= "\u2069");
}

void append_visible(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const std::size_t bytes = utf8_character_bytes(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(bytes, 1));
    if (bytes > 0 && is_printable(character)) {
      out += character;
    } else {
      for (const char byte : character)
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    }
    text.remove_prefix(character.size());
  }
}

// A run of tokens of one kind: bytes are joined first, since a character may span tokens.
void append_run(std::span<const TokenId> ids, const Tokenizer& tokenizer, const PreviewStyle& style,
                std::string& out) {
  std::string bytes;
  for (const TokenId id : ids) {
    if (!tokenizer.is_special(id)) {
      bytes += tokenizer.token_bytes(id);
      continue;
    }
    append_visible(bytes, out);
    bytes.clear();
    const Marks marks = marks_of(Part::special, style);
    out += fmt::format("{}‹", marks.begin);
    append_visible(tokenizer.token_bytes(id), out);
    out += fmt::format("›{}", marks.end);
  }
  append_visible(bytes, out);
}

void append_sample(const DataSample& sample, const Tokenizer& tokenizer, const PreviewStyle& style,
                   std::string& out) {
  const std::span<const TokenId> ids = sample.ids;
  const std::size_t first = static_cast<std::size_t>(sample.first_trained);
  const Marks masked = marks_of(Part::masked, style), trained = marks_of(Part::trained, style);
  out += masked.begin;
  append_run(ids.first(first), tokenizer, style, out);
  out += masked.end;
  out += trained.begin;
  append_run(ids.subspan(first), tokenizer, style, out);
  out += trained.end;
  out += '\n';
}

std::string totals_text(const Dataset& dataset) {
  const DataTotals& totals = dataset.totals();
  const std::uint64_t rows = count_rows(dataset, dataset.options().shuffle, 0);
  const auto length = static_cast<std::uint64_t>(dataset.options().sequence_length);
  const double filled = 100.0 * static_cast<double>(totals.positions) /
                        (static_cast<double>(rows) * static_cast<double>(length));
  const double per_sample =
      static_cast<double>(totals.positions) / static_cast<double>(totals.samples);
  std::string text = fmt::format(
      "samples    {}\npositions  {} ({:.1f} a sample, longest {})\ntargets    {}\n"
      "rows       {} of {} positions, {:.1f} % filled{}\n",
      totals.samples, totals.positions, per_sample, totals.longest_positions, totals.targets, rows,
      length, filled, dataset.options().pack ? "" : " (not packed)");
  if (totals.truncated > 0) text += fmt::format("cut short  {} rows\n", totals.truncated);
  if (totals.split > 0)
    text += fmt::format("split      {} rows; {} parts with nothing to train left out\n",
                        totals.split, totals.untrained_chunks);
  if (totals.dropped > 0) text += fmt::format("left out   {} long rows\n", totals.dropped);
  return text;
}

}  // namespace

std::string preview(const Dataset& dataset, std::int64_t count, const PreviewStyle& style) {
  const Permutation order(dataset.samples(), dataset.options().seed, 0);
  const std::uint64_t shown =
      std::min(dataset.samples(), static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0)));
  std::string text = style.ansi ? "masked text is dim, trained text bold\n\n"
                                : "⟦masked: not trained⟧ the rest is trained\n\n";
  Dataset::Scratch scratch;
  DataSample sample;
  for (std::uint64_t i = 0; i < shown; ++i) {
    const IndexEntry entry = dataset.entry(dataset.options().shuffle ? order(i) : i);
    dataset.load(entry, scratch, sample);
    text += fmt::format("── {} · {} positions · {} targets\n", dataset.place_of(entry),
                        sample.positions(),
                        static_cast<std::int64_t>(sample.ids.size()) - sample.first_trained);
    append_sample(sample, dataset.tokenizer(), style, text);
    text += '\n';
  }
  return text + totals_text(dataset);
}

std::string preview(const DataOptions& options, const Tokenizer& tokenizer, std::int64_t count,
                    const PreviewStyle& style) {
  return preview(*Dataset::open(options, tokenizer), count, style);
}

}  // namespace outsize

#include "tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "core/error.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

constexpr char32_t kCodePoints = 0x110000;

struct Range {
  char32_t first, last;
};

// Letters and numbers assigned in Unicode 15.1 and 16.0; utf8proc 2.8 (Debian 12) knows 15.0.
constexpr Range kNewLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3},
    {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389},
    {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
    {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA},
    {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D},
};
constexpr Range kNewNumbers[] = {
    {0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139},
    {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA},
};
constexpr Range kSpaces[] = {
    {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
};

// Combining marks and one composition that Unicode defined after version 9. Normalization in the
// tokenizers library is of that version: it neither reorders these nor composes across them.
constexpr Range kOpaqueInNormalization[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
    {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99},
    {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
    {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
};

bool is_opaque(char32_t c) {
  const auto* range = std::lower_bound(
      std::begin(kOpaqueInNormalization), std::end(kOpaqueInNormalization), c,
      [](const Range& candidate, char32_t value) { return candidate.last < value; });
  return range != std::end(kOpaqueInNormalization) && range->first <= c;
}

template <std::size_t n>
void mark(std::vector<CharClass>& classes, const Range (&ranges)[n], CharClass value) {
  for (const Range& range : ranges) {
    std::fill(classes.begin() + range.first, classes.begin() + range.last + 1, value);
  }
}

std::vector<CharClass> make_classes() {
  std::vector<CharClass> classes(kCodePoints, CharClass::Other);
  for (char32_t c = 0; c < kCodePoints; ++c) {
    const auto category = utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->category;
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) {
      classes[c] = CharClass::Letter;
    } else if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) {
      classes[c] = CharClass::Number;
    }
  }
  mark(classes, kNewLetters, CharClass::Letter);
  mark(classes, kNewNumbers, CharClass::Number);
  mark(classes, kSpaces, CharClass::Space);
  return classes;
}

bool composes(NormalForm form) {
  return form == NormalForm::Nfc || form == NormalForm::Nfkc;
}

int decompose_options(NormalForm form) {
  const bool compatible = form == NormalForm::Nfkc || form == NormalForm::Nfkd;
  return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
}

int combining_class(utf8proc_int32_t c) {
  return utf8proc_get_property(c)->combining_class;
}

void append_decomposed(char32_t c, NormalForm form, std::vector<utf8proc_int32_t>& out) {
  utf8proc_int32_t parts[32];  // the longest decomposition, U+FDFA's, has 18
  int last_boundary = 0;
  const auto count = utf8proc_decompose_char(
      static_cast<utf8proc_int32_t>(c), parts, 32,
      static_cast<utf8proc_option_t>(decompose_options(form)), &last_boundary);
  ensure(count >= 0 && count <= 32, "[tokenizer] decomposition of U+{:X} has {} parts",
         static_cast<unsigned>(c), count);
  out.insert(out.end(), parts, parts + count);
}

// Canonical ordering: each run of combining marks sorted by class. utf8proc's own ordering takes
// quadratic time on long runs.
void order_marks(std::vector<utf8proc_int32_t>& text) {
  for (std::size_t i = 0; i < text.size();) {
    if (combining_class(text[i]) == 0) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && combining_class(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + i, text.begin() + end,
                     [](utf8proc_int32_t a, utf8proc_int32_t b) {
                       return combining_class(a) < combining_class(b);
                     });
    i = end;
  }
}

// Orders, composes and writes what has been gathered, and empties it.
void write_normalized(std::vector<utf8proc_int32_t>& characters, NormalForm form,
                      std::string& out) {
  order_marks(characters);
  auto length = static_cast<utf8proc_ssize_t>(characters.size());
  if (composes(form) && length > 0) {
    const int options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    length = utf8proc_normalize_utf32(characters.data(), length,
                                      static_cast<utf8proc_option_t>(options));
    ensure(length >= 0, "[tokenizer] composition failed");
  }
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    append_utf8(static_cast<char32_t>(characters[i]), out);
  }
  characters.clear();
}

void normalize_run(std::string_view text, NormalForm form, std::string& out) {
  std::vector<utf8proc_int32_t> characters;
  characters.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (is_opaque(c.value)) {
      write_normalized(characters, form, out);
      append_utf8(c.value, out);
    } else {
      append_decomposed(c.value, form, characters);
    }
    at += c.bytes;
  }
  write_normalized(characters, form, out);
}

// Whether NFC leaves the character alone whatever stands around it. Conservative.
bool is_inert_in_nfc(char32_t c) {
  if (c < 0x300) return true;
  const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
  const bool joins_previous = property->comb_index != UINT16_MAX && property->comb_index >= 0x8000;
  const bool jamo = c >= 0x1100 && c < 0x1200;
  return property->combining_class == 0 && property->decomp_seqindex == UINT16_MAX &&
         !joins_previous && !jamo;
}

bool is_inert(std::string_view run, NormalForm form) {
  if (form != NormalForm::Nfc) return false;
  for (std::size_t at = 0; at < run.size();) {
    const CodePoint c = decode_utf8(run, at);
    if (!is_inert_in_nfc(c.value)) return false;
    at += c.bytes;
  }
  return true;
}

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

}  // namespace

const CharClass* char_classes() {
  static const std::vector<CharClass> classes = make_classes();
  return classes.data();
}

bool is_word_character(std::string_view text, std::size_t at) {
  const char32_t c = decode_utf8(text, at).value;
  if (char_classes()[c] == CharClass::Letter || c == 0x200C || c == 0x200D) return true;
  switch (utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->category) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

const CharClass* char_classes_without_new_numbers() {
  static const std::vector<CharClass> classes = [] {
    std::vector<CharClass> result(char_classes(), char_classes() + kCodePoints);
    mark(result, kNewNumbers, CharClass::Other);
    return result;
  }();
  return classes.data();
}

std::string normalize(std::string_view text, NormalForm form) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_ascii(text[end])) ++end;
    // An ASCII character can be changed only by what follows it directly.
    const std::size_t run = end < text.size() && end > at ? end - 1 : end;
    out.append(text.substr(at, run - at));
    while (end < text.size() && !is_ascii(text[end])) ++end;
    const std::string_view rest = text.substr(run, end - run);
    if (is_inert(rest, form)) {
      out.append(rest);
    } else if (!rest.empty()) {
      normalize_run(rest, form, out);
    }
    at = end;
  }
  return out;
}

}  // namespace outsize

#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

CharClass class_of(std::string_view text, std::size_t at) {
  return char_classes()[decode_utf8(text, at).value];
}

bool is_space_at(std::string_view text, std::size_t at) {
  return class_of(text, at) == CharClass::Space;
}

std::size_t skip_spaces_back(std::string_view text, std::size_t end, std::size_t limit) {
  while (end > limit) {
    const std::size_t before = previous_character(text, end);
    if (!is_space_at(text, before)) break;
    end = before;
  }
  return end;
}

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space_at(text, at)) at += decode_utf8(text, at).bytes;
  return at;
}

// Text left over at the edge of a cluster belongs to the text beside it.
std::vector<TextPart> join_texts(const std::vector<TextPart>& parts) {
  std::vector<TextPart> joined;
  for (const TextPart& part : parts) {
    if (part.id < 0 && !joined.empty() && joined.back().id < 0) {
      joined.back().end = part.end;
    } else {
      joined.push_back(part);
    }
  }
  return joined;
}

}  // namespace

void AddedTokenFinder::add(AddedToken token) {
  trie_.add(token.text, static_cast<std::int32_t>(tokens_.size()));
  tokens_.push_back(std::move(token));
}

bool AddedTokenFinder::fits_word(std::string_view text, const TextPart& match) const {
  const bool left =
      match.begin == 0 || !is_word_character(text, previous_character(text, match.begin));
  const bool right = match.end == text.size() || !is_word_character(text, match.end);
  return left && right;
}

std::vector<TextPart> AddedTokenFinder::split(std::string_view text, bool parse_special) const {
  std::vector<TextPart> parts;
  std::size_t done = 0;
  std::size_t at = trie_.empty() ? text.size() : trie_.next_candidate(text, 0);
  while (at < text.size()) {
    TextPart match{at, at, -1};
    std::int32_t index = -1;
    trie_.match(text, at, [&](std::size_t bytes, std::int32_t value) {
      match.end = at + bytes;
      index = value;
    });
    if (index < 0) {
      at = trie_.next_candidate(text, at + 1);
      continue;
    }
    at = trie_.next_candidate(text, match.end);
    const AddedToken& token = tokens_[index];
    if (token.special && !parse_special) continue;
    if (token.single_word && !fits_word(text, match)) continue;
    if (token.left_strip) match.begin = std::max(done, skip_spaces_back(text, match.begin, done));
    if (token.right_strip) match.end = skip_spaces(text, match.end);
    if (done < match.begin) parts.push_back({done, match.begin, -1});
    match.id = token.id;
    parts.push_back(match);
    done = match.end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), -1});
  return parts;
}

GgufTokenFinder::GgufTokenFinder(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  // llama.cpp's own call: overlapping tokens of one length then keep its order as well.
  std::sort(tokens_.begin(), tokens_.end(),
            [](const Token& a, const Token& b) { return a.text.size() > b.text.size(); });
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    all_.add(tokens_[i].text, static_cast<std::int32_t>(i));
    if (!tokens_[i].control) user_.add(tokens_[i].text, static_cast<std::int32_t>(i));
  }
}

// Matches that touch no other are clear; where they overlap, the tokens found there are tried in
// llama.cpp's order over that stretch alone.
std::vector<TextPart> GgufTokenFinder::split(std::string_view text, bool parse_special) const {
  const TokenTrie& trie = parse_special ? all_ : user_;
  std::vector<TextPart> parts;
  std::vector<std::int32_t> present;
  std::size_t done = 0, begin = 0, end = 0;
  const auto close_cluster = [&] {
    if (present.empty()) return;
    if (done < begin) parts.push_back({done, begin, -1});
    split_cluster(text, begin, end, present, parts);
    done = end;
    present.clear();
  };
  std::size_t at = trie.empty() ? text.size() : trie.next_candidate(text, 0);
  while (at < text.size()) {
    if (at >= end) close_cluster();
    trie.match(text, at, [&](std::size_t bytes, std::int32_t value) {
      if (present.empty()) begin = end = at;
      end = std::max(end, at + bytes);
      if (std::find(present.begin(), present.end(), value) == present.end()) {
        present.push_back(value);
      }
    });
    at = trie.next_candidate(text, at + 1);
  }
  close_cluster();
  if (done < text.size()) parts.push_back({done, text.size(), -1});
  return join_texts(parts);
}

void GgufTokenFinder::split_cluster(std::string_view text, std::size_t begin, std::size_t end,
                                    std::vector<std::int32_t>& present,
                                    std::vector<TextPart>& parts) const {
  std::sort(present.begin(), present.end());
  std::vector<TextPart> now{{begin, end, -1}}, next;
  for (const std::int32_t index : present) {
    const Token& token = tokens_[index];
    next.clear();
    for (const TextPart& part : now) {
      std::size_t from = part.begin;
      while (part.id < 0) {
        const std::size_t match = text.substr(0, part.end).find(token.text, from);
        if (match == std::string_view::npos) break;
        if (from < match) next.push_back({from, match, -1});
        from = match + token.text.size();
        next.push_back({match, from, token.id});
      }
      if (part.id >= 0 || from < part.end) next.push_back({from, part.end, part.id});
    }
    now.swap(next);
  }
  parts.insert(parts.end(), now.begin(), now.end());
}

}  // namespace outsize

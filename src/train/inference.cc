#include "train/inference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/clock.h"
#include "core/error.h"
#include "data/batch_source.h"
#include "data/dataset.h"
#include "formats/json.h"
#include "formats/npy.h"
#include "train/engine.h"
#include "train/model_source.h"
#include "train/residence.h"

namespace outsize {
namespace {

std::vector<std::int32_t> parse_ids(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::int32_t> ids;
  for (std::string word; stream >> word;) {
    size_t used = 0;
    try {
      ids.push_back(std::stoi(word, &used));
    } catch (const std::exception&) {
      used = 0;
    }
    if (used != word.size())
      fail(ErrorKind::InvalidArgument,
           "[--tokens] not a token id; got '{}'; expected whole numbers", word);
  }
  if (ids.empty())
    fail(ErrorKind::InvalidArgument, "[--tokens] no token ids; try --tokens \"1 2 3\"");
  return ids;
}

}  // namespace

std::string evaluate_model(const EvalOptions& options) {
  const ModelSource source(options.model);
  const auto tokenizer = source.tokenizer();
  DataOptions data;
  data.files.assign(options.files.begin(), options.files.end());
  data.sequence_length = options.sequence_length;
  data.shuffle = false;
  const auto dataset = Dataset::open(data, *tokenizer);
  constexpr std::int64_t kTokens = 2048;
  const std::int64_t rows = options.rows > 0
                                ? options.rows
                                : std::max<std::int64_t>(1, kTokens / options.sequence_length);
  const Residence residence(options.residence, options.model);
  EvaluationEngine engine(source.model(), rows, options.sequence_length, parse_dtype(options.dtype),
                          residence.forward());
  residence.tell(engine.engine(), engine.engine().seconds(), rows * options.sequence_length);
  engine.load(*source.weights());
  const double start = seconds_now();
  EvaluationTotals totals;
  ValidationSource batches(dataset, rows);
  Batch batch;
  while (batches.next(batch)) engine.evaluate(batch, totals);
  const double loss = totals.loss_sum / static_cast<double>(totals.target_tokens);
  const double seconds = seconds_now() - start;
  if (options.json)
    return nlohmann::json{{"loss", loss},
                          {"perplexity", std::exp(loss)},
                          {"target_tokens", totals.target_tokens},
                          {"seconds", seconds}}
        .dump();
  return fmt::format(
      "loss {:.4f} nats per target token, perplexity {:.3f}, {} target tokens, {:.1f} s", loss,
      std::exp(loss), totals.target_tokens, seconds);
}

void write_logits(const LogitsOptions& options) {
  const std::vector<std::int32_t> ids = parse_ids(options.tokens);
  const ModelSource source(options.model);
  const auto count = static_cast<std::int64_t>(ids.size());
  const Residence residence(options.residence, options.model);
  Generator generator(source.model(), {count, parse_dtype(options.dtype), /*all_logits=*/true},
                      residence.forward());
  residence.tell(generator);
  generator.load(source.weights());
  NpyWriter writer(options.out, DType::f32, {count, generator.vocabulary()});
  generator.append(ids, [&](std::int64_t, std::int64_t rows, const float* logits) {
    writer.append(logits, rows * generator.vocabulary());
  });
  writer.finish();
}

namespace {

std::vector<std::string> read_prompts(const GenerateOptions& options) {
  if (options.prompts_file.empty()) return {options.prompt};
  std::ifstream file(options.prompts_file);
  if (!file) fail(ErrorKind::Io, "[--prompts-file] cannot be read; got '{}'", options.prompts_file);
  std::vector<std::string> prompts;
  std::int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    const std::string where = fmt::format("{}:{}", options.prompts_file, ++number);
    if (line.empty()) continue;
    const nlohmann::json row = parse_json(line, where);
    prompts.push_back(JsonFields(row, where).text("prompt"));
  }
  if (prompts.empty())
    fail(ErrorKind::InvalidArgument, "[--prompts-file] no prompt; got '{}', which has no rows",
         options.prompts_file);
  return prompts;
}

// Gives out whole characters only: a token may end inside one.
class Utf8Stream {
 public:
  explicit Utf8Stream(const std::function<void(std::string_view)>& write) : write_(write) {}
  void add(std::string_view bytes) {
    pending_ += bytes;
    const size_t whole = pending_.size() - unfinished();
    write_(std::string_view(pending_).substr(0, whole));
    pending_.erase(0, whole);
  }
  void finish() {
    write_(pending_);
    pending_.clear();
  }

 private:
  // Bytes at the end that begin a character not yet complete.
  size_t unfinished() const {
    for (size_t back = 1; back <= std::min<size_t>(3, pending_.size()); ++back) {
      const auto byte = static_cast<unsigned char>(pending_[pending_.size() - back]);
      if ((byte & 0xC0) == 0x80) continue;
      const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
      return length > back ? back : 0;
    }
    return 0;
  }

  const std::function<void(std::string_view)>& write_;
  std::string pending_;
};

struct Continuation {
  std::vector<std::int32_t> ids;
  bool ended = false;
};

template <class OnToken>
Continuation continue_text(Generator& generator, const Tokenizer& tokenizer,
                           std::span<const std::int32_t> prompt, const GenerateOptions& options,
                           OnToken on_token) {
  const std::vector<TokenId> stops = tokenizer.stop_ids();
  Continuation result;
  std::int32_t next = -1;
  const auto take = [&](std::int64_t, std::int64_t, const float* logits) {
    next = sample({logits, static_cast<size_t>(generator.vocabulary())}, options.sampling,
                  generator.past());
  };
  generator.reset();
  generator.append(prompt, take);
  for (std::int64_t count = 0; count < options.max_new_tokens; ++count) {
    if (std::find(stops.begin(), stops.end(), next) != stops.end()) {
      result.ended = true;
      break;
    }
    result.ids.push_back(next);
    on_token(next);
    if (count + 1 < options.max_new_tokens) generator.append({&next, 1}, take);
  }
  return result;
}

}  // namespace

void generate_text(const GenerateOptions& options,
                   const std::function<void(std::string_view)>& write) {
  const ModelSource source(options.model);
  const auto tokenizer = source.tokenizer();
  const std::vector<std::string> prompts = read_prompts(options);
  std::vector<std::vector<std::int32_t>> encoded;
  size_t longest = 1;
  for (const std::string& prompt : prompts) {
    std::vector<std::int32_t> ids;
    if (tokenizer->adds_bos() && tokenizer->bos_id() >= 0) ids.push_back(tokenizer->bos_id());
    tokenizer->encode(prompt, /*parse_special=*/true, ids);
    if (ids.empty())
      fail(ErrorKind::InvalidArgument,
           "[generate] the prompt is empty, and the model has no BOS token");
    longest = std::max(longest, ids.size());
    encoded.push_back(std::move(ids));
  }
  const std::int64_t context = static_cast<std::int64_t>(longest) + options.max_new_tokens;
  const Residence residence(options.residence, options.model);
  Generator generator(source.model(), {context, parse_dtype(options.dtype), false},
                      residence.forward());
  residence.tell(generator);
  generator.load(source.weights());
  const bool json = options.json || !options.prompts_file.empty();
  for (size_t i = 0; i < prompts.size(); ++i) {
    const double start = seconds_now();
    Utf8Stream stream(write);
    const Continuation result =
        continue_text(generator, *tokenizer, encoded[i], options, [&](std::int32_t id) {
          if (!json) stream.add(tokenizer->token_bytes(id));
        });
    if (!json) {
      stream.finish();
      write("\n");
      continue;
    }
    const nlohmann::json row = {{"prompt", prompts[i]},
                                {"completion", tokenizer->decode(result.ids, true)},
                                {"tokens", result.ids},
                                {"prompt_tokens", encoded[i].size()},
                                {"stopped", result.ended ? "end" : "length"},
                                {"seconds", seconds_now() - start}};
    write(row.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
}

}  // namespace outsize

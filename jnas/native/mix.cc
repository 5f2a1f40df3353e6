// The handlers of weighted sums of stacks and their derivatives.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "arguments.h"
#include "kernels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {
namespace {

using Rests = ffi::RemainingRets;

// Numbers that are worth a block of their own.
constexpr int64_t kPieceSize = 4096;

template <typename From>
ffi::Error Collect(const char* what, const From& from, size_t begin,
                   size_t count, std::vector<ffi::AnyBuffer>* buffers) {
  if (from.size() < begin + count) {
    return ffi::Error::InvalidArgument(
        std::string("jnas: ") + std::to_string(from.size()) + " arrays for " +
        what + "; expected " + std::to_string(begin + count));
  }
  for (size_t i = begin; i < begin + count; ++i) {
    if constexpr (std::is_same_v<From, Rest>) {
      buffers->push_back(*from.template get<ffi::AnyBuffer>(i));
    } else {
      buffers->push_back(**from.template get<ffi::AnyBuffer>(i));
    }
  }
  return ffi::Error::Success();
}

// The type of a mixture's images.
template <typename M>
using Element = typename std::decay_t<M>::Image;

// An operation's arrays: weights [N, T, G], N terms [T or 1, B, ...], T totals
// [B, ...] and as many that are added to them, or none.
struct Arrays {
  ffi::AnyBuffer weights;
  std::vector<ffi::AnyBuffer> terms, totals, added;

  ffi::Error Check() const {
    JNAS_RETURN_IF_ERROR(CheckRank("the weights", weights, 3));
    JNAS_RETURN_IF_ERROR(CheckType("the weights", weights, ffi::F32));
    const Shape image = ShapeOf(totals.front());
    const int64_t groups = weights.dimensions()[2];
    if (image.empty() || groups < 1 || image[0] % groups != 0) {
      return ffi::Error::InvalidArgument(
          "jnas: weights " + Print(ShapeOf(weights)) + " for images " +
          Print(image) + "; expected their groups to divide the batch");
    }
    for (const auto* list : {&totals, &added}) {
      for (const auto& buffer : *list) {
        JNAS_RETURN_IF_ERROR(CheckLike("a total", buffer, totals.front()));
      }
    }
    for (const auto& term : terms) {
      JNAS_RETURN_IF_ERROR(
          CheckType("a term", term, totals.front().element_type()));
      Shape expected = image;
      const bool is_stacked =
          term.dimensions().size() > 0 && term.dimensions()[0] != 1;
      expected.insert(expected.begin(),
                      is_stacked ? weights.dimensions()[1] : 1);
      JNAS_RETURN_IF_ERROR(CheckShape("a term", term, expected));
    }
    return ffi::Error::Success();
  }

  // Calls body(mixture) with what a kernel needs.
  template <typename Body>
  ffi::Error Run(Body body) const {
    JNAS_RETURN_IF_ERROR(Check());
    const ffi::AnyBuffer& total = totals.front();
    if (total.element_count() == 0) return ffi::Error::Success();
    return ForType(total, [&](auto zero) {
      using T = decltype(zero);
      Mixture<T> m;
      m.targets = weights.dimensions()[1];
      m.groups = weights.dimensions()[2];
      m.batch = total.dimensions()[0];
      m.size = total.element_count() / m.batch;
      m.pieces = DivideUp(m.size, kPieceSize);
      m.weights = Data<float>(weights);
      for (const auto& term : terms) {
        m.terms.push_back(Data<T>(term));
        m.is_stacked.push_back(term.dimensions()[0] != 1);
      }
      for (const auto& buffer : totals) m.totals.push_back(Data<T>(buffer));
      for (const auto& buffer : added) m.added.push_back(Data<T>(buffer));
      body(m);
    });
  }
};

ffi::Error Count(const ffi::AnyBuffer& weights, size_t* terms,
                 size_t* targets) {
  JNAS_RETURN_IF_ERROR(CheckRank("the weights", weights, 3));
  *terms = weights.dimensions()[0];
  *targets = weights.dimensions()[1];
  if (*terms > 0 && *targets > 0) return ffi::Error::Success();
  return ffi::Error::InvalidArgument("jnas: weights " +
                                     Print(ShapeOf(weights)) +
                                     "; expected a term and a target");
}

ffi::Error MixHandler(ffi::ThreadPool pool, In weights, Rest rest,
                      Rests results) {
  Arrays arrays = {weights};
  size_t terms, targets;
  JNAS_RETURN_IF_ERROR(Count(weights, &terms, &targets));
  JNAS_RETURN_IF_ERROR(Collect("terms", rest, 0, terms, &arrays.terms));
  JNAS_RETURN_IF_ERROR(
      Collect("totals", results, 0, targets, &arrays.totals));
  if (rest.size() > terms) {
    JNAS_RETURN_IF_ERROR(
        Collect("what is added", rest, terms, targets, &arrays.added));
  }
  return arrays.Run([&](const auto& m) {
    ParallelFor(pool, m.batch * m.pieces, m.work(),
                [&](int64_t i) {
                  KernelsOf<Element<decltype(m)>>(m.size).mix(m, i);
                });
  });
}

ffi::Error SpreadHandler(ffi::ThreadPool pool, In weights, Rest rest,
                         Rests results) {
  Arrays arrays = {weights};
  size_t terms, targets;
  JNAS_RETURN_IF_ERROR(Count(weights, &terms, &targets));
  JNAS_RETURN_IF_ERROR(Collect("totals", rest, 0, targets, &arrays.totals));
  JNAS_RETURN_IF_ERROR(Collect("terms", results, 0, terms, &arrays.terms));
  return arrays.Run([&](const auto& m) {
    ParallelFor(pool, m.batch * m.pieces, m.work(),
                [&](int64_t i) {
                  KernelsOf<Element<decltype(m)>>(m.size).mix_spread(m, i);
                });
  });
}

ffi::Error InnerHandler(ffi::ThreadPool pool, Rest rest, Out weights,
                        Out partial) {
  Arrays arrays = {*weights};
  size_t terms, targets;
  JNAS_RETURN_IF_ERROR(Count(*weights, &terms, &targets));
  JNAS_RETURN_IF_ERROR(Collect("terms", rest, 0, terms, &arrays.terms));
  JNAS_RETURN_IF_ERROR(Collect("totals", rest, terms, targets, &arrays.totals));
  JNAS_RETURN_IF_ERROR(CheckType("the products", *partial, ffi::F32));
  const int64_t batch = arrays.totals.front().dimensions()[0];
  const int64_t numbers = terms * targets;
  JNAS_RETURN_IF_ERROR(CheckShape(
      "the products", *partial,
      {batch, static_cast<int64_t>(terms), static_cast<int64_t>(targets)}));
  float* out = Data<float>(*weights);
  const int64_t groups = weights->dimensions()[2];
  std::fill_n(out, numbers * groups, 0.0f);
  return arrays.Run([&](auto m) {
    m.partial = Data<float>(*partial);
    ParallelFor(pool, m.batch, m.work(),
                [&](int64_t i) {
                  KernelsOf<Element<decltype(m)>>(m.size).mix_inner(m, i);
                });
    const int64_t images = m.batch / groups;
    for (int64_t i = 0; i < numbers * groups; ++i) {
      const int64_t first = i % groups * images;
      double sum = 0;
      for (int64_t image = first; image < first + images; ++image) {
        sum += m.partial[image * numbers + i / groups];
      }
      out[i] = static_cast<float>(sum);
    }
  });
}

}  // namespace
}  // namespace jnas

XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_mix, jnas::MixHandler,
                              JNAS_BIND(JNAS_ARG JNAS_REST JNAS_RETS));
XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_mix_spread, jnas::SpreadHandler,
                              JNAS_BIND(JNAS_ARG JNAS_REST JNAS_RETS));
XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_mix_inner, jnas::InnerHandler,
                              JNAS_BIND(JNAS_REST JNAS_RET JNAS_RET));

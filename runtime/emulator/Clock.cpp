// Joins of vector clocks; equal ones are shared, so that a barrier of a whole block costs one
// vector.

#include "runtime/emulator/Clock.h"

#include <algorithm>

namespace moec::emulator {

ClockRef joinClocks(const ClockRef &a, const ClockRef &b) {
  if (!a || a == b)
    return b;
  if (!b)
    return a;
  auto joined = std::make_shared<ClockVector>(*a);
  for (size_t i = 0; i < joined->size(); ++i)
    (*joined)[i] = std::max((*joined)[i], (*b)[i]);
  return joined;
}

KnowledgeRef joinKnowledge(const KnowledgeRef &a, const KnowledgeRef &b) {
  if (!a || a == b)
    return b;
  if (!b)
    return a;
  auto joined = std::make_shared<Knowledge>();
  auto left = a->begin(), right = b->begin();
  while (left != a->end() || right != b->end()) {
    if (right == b->end() || (left != a->end() && left->first < right->first))
      joined->push_back(*left++);
    else if (left == a->end() || right->first < left->first)
      joined->push_back(*right++);
    else {
      joined->emplace_back(left->first, joinClocks(left->second, right->second));
      ++left;
      ++right;
    }
  }
  return joined;
}

void View::start(uint32_t ofBlock, uint32_t ofThread, uint32_t ofThreads) {
  *this = {};
  block = ofBlock;
  thread = ofThread;
  threads = ofThreads;
}

bool View::knowsOther(uint32_t ofBlock, uint32_t slot, uint32_t clock) const {
  if (!foreign)
    return false;
  auto found =
      std::lower_bound(foreign->begin(), foreign->end(), ofBlock,
                       [](const auto &entry, uint32_t wanted) { return entry.first < wanted; });
  return found != foreign->end() && found->first == ofBlock && (*found->second)[slot] >= clock;
}

KnowledgeRef View::release() {
  auto all = base ? std::make_shared<ClockVector>(*base)
                  : std::make_shared<ClockVector>(2 * size_t(threads));
  (*all)[thread] = own++;
  uint32_t &ofCopies = (*all)[threads + thread];
  ofCopies = std::max(ofCopies, copies);
  return joinKnowledge(foreign, std::make_shared<Knowledge>(1, std::pair(block, ClockRef(all))));
}

KnowledgeRef View::copiesUpTo(uint32_t clock) const {
  auto all = std::make_shared<ClockVector>(2 * size_t(threads));
  (*all)[threads + thread] = clock;
  return std::make_shared<Knowledge>(1, std::pair(block, ClockRef(all)));
}

void View::acquire(const KnowledgeRef &knowledge) {
  if (!knowledge)
    return;
  Knowledge others;
  for (const auto &entry : *knowledge) {
    if (entry.first == block)
      base = joinClocks(base, entry.second);
    else
      others.push_back(entry);
  }
  if (!others.empty())
    foreign = joinKnowledge(foreign, std::make_shared<Knowledge>(std::move(others)));
}

void View::meet(std::span<View *const> views) {
  if (views.empty())
    return;
  const View &first = *views.front();
  std::vector<ClockRef> bases;
  KnowledgeRef foreign;
  for (const View *view : views) {
    if (view->base && std::find(bases.begin(), bases.end(), view->base) == bases.end())
      bases.push_back(view->base);
    foreign = joinKnowledge(foreign, view->foreign);
  }
  auto joined = bases.empty() ? std::make_shared<ClockVector>(2 * size_t(first.threads))
                              : std::make_shared<ClockVector>(*bases.front());
  for (size_t i = 1; i < bases.size(); ++i)
    for (size_t slot = 0; slot < joined->size(); ++slot)
      (*joined)[slot] = std::max((*joined)[slot], (*bases[i])[slot]);
  for (View *view : views) {
    uint32_t &own = (*joined)[view->thread];
    own = std::max(own, view->own++);
    uint32_t &copies = (*joined)[view->threads + view->thread];
    copies = std::max(copies, view->copies);
  }
  for (View *view : views) {
    view->base = joined;
    view->foreign = foreign;
  }
}

} // namespace moec::emulator

#include "correlate/pipeline/service_graph.h"

#include <algorithm>
#include <utility>

#include "correlate/model/item.h"

namespace braid::correlate {
namespace {

namespace rf = record_flags;

constexpr size_t kFirstHeads = 1024;

// opentelemetry-proto SpanKind.
constexpr uint8_t kServer = 2, kClient = 3, kProducer = 4, kConsumer = 5;

bool Calls(uint8_t kind) { return kind == kClient || kind == kProducer; }
bool Answers(uint8_t kind) { return kind == kServer || kind == kConsumer; }
uint8_t KindOf(uint16_t flags) { return static_cast<uint8_t>(flags & item_flags::kKindMask); }

constexpr uint8_t kVirtualClient = 1, kVirtualServer = 2;

}  // namespace

std::string_view UnpairedName(Unpaired reason) {
  switch (reason) {
    case Unpaired::kNoServer: return "no_server";
    case Unpaired::kNoClient: return "no_client";
    case Unpaired::kNoService: return "no_service";
    case Unpaired::kEvicted: return "evicted";
    case Unpaired::kLate: return "late";
  }
  return "";
}

ServiceGraph::ServiceGraph(const Options& options, Window& window, SeriesTable& series)
    : options_(options),
      graph_(series.derive().graph),
      window_(window),
      series_(series),
      heads_(kFirstHeads),
      mask_(kFirstHeads - 1),
      blocks_(window.capacity() / kBlock + 1),
      user_(series.InternName("user")) {}

// ---- Waiting children: a hash from the parent's key to the newest, chained to older ones
// --------------------

// Its place, or that of the empty slot where it would go.
size_t ServiceGraph::HeadOf(uint64_t key) {
  for (size_t at = HomeOf(TagOf(key));; at = (at + 1) & mask_) {
    const Head& head = heads_[at];
    if (head.number == 0) return at;
    if (head.tag != TagOf(key)) continue;
    const Waiting* newest = At(head.number);
    if (newest != nullptr && newest->key == key) return at;
  }
}

void ServiceGraph::EraseHead(size_t at) {
  --used_heads_;
  for (size_t next = (at + 1) & mask_; heads_[next].number != 0; next = (next + 1) & mask_) {
    const size_t home = HomeOf(heads_[next].tag);
    if (((next - home) & mask_) < ((next - at) & mask_)) continue;
    heads_[at] = heads_[next];
    at = next;
  }
  heads_[at] = Head{};
}

void ServiceGraph::GrowHeads() {
  const std::vector<Head> old = std::exchange(heads_, std::vector<Head>(heads_.size() * 2));
  mask_ = heads_.size() - 1;
  for (const Head& head : old) {
    if (head.number == 0) continue;
    size_t at = HomeOf(head.tag);
    while (heads_[at].number != 0) at = (at + 1) & mask_;
    heads_[at] = head;
  }
}

void ServiceGraph::Wait(const Waiting& child, uint64_t key) {
  if (waiting_.size() >= options_.max_waiting) PopWaiting(Unpaired::kEvicted);
  if ((used_heads_ + 1) * 2 > heads_.size()) GrowHeads();
  Head& head = heads_[HeadOf(key)];
  if (head.number == 0) ++used_heads_;
  const uint32_t older = head.number;
  head.tag = TagOf(key);
  head.number = first_waiting_ + static_cast<uint32_t>(waiting_.size());
  if (head.number == 0) {
    // Numbers have gone once round: 0 means none, so this one is left out.
    Waiting skipped;
    skipped.done = true;
    skipped.tick = tick_;
    waiting_.push_back(skipped);
    head.number = 1;
  }
  Waiting& kept = waiting_.push_slot();
  kept = child;
  kept.key = key;
  kept.next = older;
  kept.tick = tick_;
}

// The oldest leaves. It is the last of its chain, and where it is the only one, the chain goes.
void ServiceGraph::PopWaiting(Unpaired reason) {
  const Waiting& oldest = waiting_.front();
  if (!oldest.done) {
    // A call under an unknown span may well be under one of its own service.
    const bool alone = oldest.link || Answers(oldest.kind) || reason == Unpaired::kEvicted;
    if (alone && !oldest.brokered) ++stats_.unpaired[static_cast<size_t>(reason)];
    const size_t at = HeadOf(oldest.key);
    if (heads_[at].number == first_waiting_) EraseHead(at);
  }
  waiting_.pop_front();
  ++first_waiting_;
}

// Those whose chain begins at `head`, which holds one.
void ServiceGraph::TakeChildren(const Parent& parent, size_t head) {
  uint32_t number = heads_[head].number;
  EraseHead(head);
  for (Waiting* child = At(number); number != 0 && child != nullptr; child = At(number)) {
    child->done = true;
    number = child->next;
    Pair(parent, *child);
  }
}

// ---- Edges
// ------------------------------------------------------------------------------------------------------

bool ServiceGraph::LooksForParent(uint16_t flags, uint64_t parent) {
  if (parent == 0) return false;
  const uint8_t kind = KindOf(flags);
  if (Answers(kind) || (flags & item_flags::kParentRemote) != 0) return true;
  return Calls(kind) && (flags & item_flags::kParentLocal) == 0;
}

void ServiceGraph::RememberCaller(const Span& span, uint8_t kind) {
  if (callers_.size() >= options_.max_callers) {
    // Each has to be asked whether it was answered, and its Record is far from here.
    window_.Prefetch(callers_[std::min(kAskAhead, callers_.size() - 1)].ordinal);
    const Caller& oldest = callers_.front();
    if (asked_ == 0) {
      if (oldest.waits && !window_[oldest.ordinal].Has(rf::kPaired))
        ++stats_.unpaired[static_cast<size_t>(Unpaired::kEvicted)];
    } else {
      --asked_;
    }
    callers_.pop_front();
    ++first_caller_;
  }
  // Of a block's callers the first; ordinals rise, so it comes first.
  const size_t number = first_caller_ + callers_.size();
  const bool begins =
      callers_.empty() || callers_[callers_.size() - 1].ordinal / kBlock != span.ordinal / kBlock;
  if (begins) blocks_[BlockOf(span.ordinal)] = static_cast<uint32_t>(number);
  Caller& caller = callers_.push_slot();
  caller.duration_ns = span.duration_ns;
  caller.end_ns = span.end_ns;
  caller.place = span.place;
  caller.ordinal = span.ordinal;
  caller.tick = tick_;
  caller.span = span.span;
  caller.trace_lo = span.trace.lo;
  caller.trace_hi = span.trace.hi;
  caller.tenant = span.tenant;
  caller.waits = Calls(kind);
  if (!caller.waits) return;
  const SeriesTable::Node& node = series_.node(span.place.node);
  const bool at_once = (kind == kClient && node.connection == Connection::kDatabase && node.peer != 0) ||
                       (kind == kProducer && ThroughBroker(kind, span.place.node));
  if (!at_once) return;
  CountVirtual(caller);
  caller.waits = false;
}

void ServiceGraph::OnSpan(const Span& span, Ordinal same_id) {
  if (!span.place.counts) return;
  const uint8_t kind = KindOf(span.flags);
  if (Calls(kind) || !graph_.dimensions.empty()) RememberCaller(span, kind);

  const auto self = [&] {
    return Parent{.trace = span.trace,
                  .span = span.span,
                  .place = span.place,
                  .duration_ns = span.duration_ns,
                  .end_ns = span.end_ns,
                  .ordinal = span.ordinal,
                  .kind = kind};
  };
  const size_t head = HeadOf(KeyOf(span.trace.lo, span.span));
  if (heads_[head].number != 0) TakeChildren(self(), head);

  const bool looks = LooksForParent(span.flags, span.parent);
  const bool root = span.parent == 0 && Answers(kind);
  if (!looks && !root && same_id == 0) return;

  const Waiting child{.key = 0,
                      .trace_hi = span.trace.hi,
                      .trace_lo = span.trace.lo,
                      .span = span.span,
                      .start_ns = span.start_ns,
                      .end_ns = span.end_ns,
                      .duration_ns = span.duration_ns,
                      .place = span.place,
                      .next = 0,
                      .tick = 0,
                      .tenant = span.tenant,
                      .kind = kind,
                      .link = false,
                      .brokered = kind == kConsumer && ThroughBroker(kind, span.place.node),
                      .done = false};
  if (child.brokered) {
    window_[span.ordinal].Set(rf::kVirtual);
    CountRoot(span);
    if (!graph_.messaging_latency) return;
  }

  // The client half of a shared span, whichever half came first.
  if (same_id != 0 && window_.Alive(same_id) && !window_[same_id].Has(rf::kLog)) {
    const Record& other = window_[same_id];
    const uint8_t other_kind = series_.KindOf(other.series);
    if (Answers(kind) && Calls(other_kind)) {
      PairWithRecord(same_id, span.trace, child);
      return;
    }
    if (Calls(kind) && Answers(other_kind)) {
      Waiting half;
      half.trace_hi = span.trace.hi;
      half.trace_lo = span.trace.lo;
      half.span = span.span;
      half.duration_ns = UnpackDuration(other.duration);
      half.place = {other.series, 0, true};
      half.tenant = span.tenant;
      half.kind = other_kind;
      half.brokered = other.Has(rf::kVirtual);
      Pair(self(), half);
    }
  }

  if (looks) {
    const Ordinal parent = window_.index().Find(window_.SpanHash(span.trace, span.parent), [&](Ordinal o) {
      return window_.Alive(o) && window_[o].span == span.parent;
    });
    // Of a chain of records of that ID the newest span; logs that wait for it come first.
    Ordinal found = parent;
    while (found != 0 && window_.Alive(found) && window_[found].Has(rf::kLog))
      found = window_[found].prev_of_span;
    if (found != 0 && window_.Alive(found) && window_[found].span == span.parent &&
        !window_[found].Has(rf::kLog)) {
      PairWithRecord(found, span.trace, child);
    } else {
      Wait(child, KeyOf(span.trace.lo, span.parent));
    }
  } else if (root && !child.brokered) {
    if (kind == kServer || (span.flags & item_flags::kHasLinks) == 0) CountRoot(span);
  }
}

void ServiceGraph::OnLink(const LinkItem& link, uint32_t tenant, SeriesTable::Place place) {
  if (!place.counts) return;
  const uint8_t kind = KindOf(link.flags);
  const bool brokered = kind == kConsumer && ThroughBroker(kind, place.node);
  if (brokered && !graph_.messaging_latency) return;
  const uint64_t id =
      Mix64(KeyOf(link.trace_lo, link.span) ^ Mix64(KeyOf(link.linking_trace_lo, link.linking_span)));
  if (link_ages_.size() >= options_.max_waiting) {
    links_.erase(link_ages_.front().first);
    link_ages_.pop_front();
  }
  if (!links_.insert(id).second) return;
  link_ages_.push_back({id, tick_});
  Waiting child;
  child.trace_hi = link.linking_trace_hi;
  child.trace_lo = link.linking_trace_lo;
  child.span = link.linking_span;
  child.start_ns = link.start_ns;
  child.end_ns = link.end_ns;
  child.duration_ns = link.end_ns > link.start_ns ? link.end_ns - link.start_ns : 0;
  child.place = place;
  child.tenant = tenant;
  child.kind = kind;
  child.link = true;
  child.brokered = brokered;
  const Ordinal found =
      window_.index().Find(window_.SpanHash({link.trace_hi, link.trace_lo}, link.span),
                           [&](Ordinal o) { return window_.Alive(o) && window_[o].span == link.span; });
  if (found != 0 && !window_[found].Has(rf::kLog)) {
    PairWithRecord(found, {link.trace_hi, link.trace_lo}, child);
    return;
  }
  Wait(child, KeyOf(link.trace_lo, link.span));
}

// The exact times of a caller, or null.
const ServiceGraph::Caller* ServiceGraph::CallerOf(Ordinal ordinal) const {
  size_t i = blocks_[BlockOf(ordinal)] - first_caller_;
  if (i >= callers_.size()) i = 0;  // from before the front, which may be within the block
  for (; i < callers_.size(); ++i) {
    const Caller& at = callers_[i];
    if (at.ordinal == ordinal) return &at;
    if (at.ordinal / kBlock != ordinal / kBlock || at.ordinal > ordinal) break;
  }
  return nullptr;
}

void ServiceGraph::PairWithRecord(Ordinal ordinal, const TraceId& trace, const Waiting& child) {
  const Record& record = window_[ordinal];
  if (!series_.Alive(record.series)) return;
  Parent parent;
  parent.trace = trace;
  parent.span = record.span;
  parent.place = {record.series, 0, true};
  parent.kind = series_.KindOf(record.series);
  parent.ordinal = ordinal;
  if (const Caller* caller = CallerOf(ordinal)) {
    parent.place = caller->place;
    parent.duration_ns = caller->duration_ns;
    parent.end_ns = caller->end_ns;
  } else {
    parent.duration_ns = UnpackDuration(record.duration);
  }
  Pair(parent, child);
}

void ServiceGraph::ReadDimensions(uint32_t client_node, uint32_t server_node) {
  dimensions_.clear();
  if (graph_.dimensions.empty()) return;
  for (const uint32_t node : {client_node, server_node}) {
    const std::string_view block = series_.strings()[series_.node(node).dimensions];
    if (!block.empty()) {
      dimensions_.append(block);
    } else {
      for (size_t i = 0; i < graph_.dimensions.size(); ++i) label_block::Append(&dimensions_, {});
    }
  }
}

// Whether a span of this kind and node is one of the two ends of a broker.
bool ServiceGraph::ThroughBroker(uint8_t kind, uint32_t node) const {
  return graph_.broker_nodes && (kind == kProducer || kind == kConsumer) &&
         series_.node(node).connection == Connection::kMessaging;
}

// A consumer whose edge comes from its broker, and its producer: how long the message was under way.
void ServiceGraph::MeasureMessage(const Parent& parent, const Waiting& child) {
  const uint32_t server = series_.ServiceOf(child.place.row);
  const bool measured = graph_.messaging_latency && parent.kind == kProducer && parent.end_ns != 0 &&
                        child.start_ns != 0 && series_.Counts(parent.place.row) &&
                        series_.ServiceOf(parent.place.row) != 0 && server != 0;
  if (!measured) return;
  ReadDimensions(0, child.place.node);
  const uint64_t threshold =
      std::max(series_.ThresholdOf(parent.place.row), series_.ThresholdOf(child.place.row));
  const SeriesTable::Id row =
      series_.EdgeRow(RowKind::kEdgeMessaging, series_.node(child.place.node).peer, server,
                      Connection::kMessaging, series_.Failed(child.place.row),
                      graph_.virtual_node_label ? kVirtualClient : 0, true, dimensions_, threshold);
  const uint64_t between = child.start_ns > parent.end_ns ? child.start_ns - parent.end_ns : 0;
  series_.CountEdge(row, between);
  OfferTo({Side{row, between}}, ExemplarOf(parent, child, series_.Failed(child.place.row)), child.tenant);
}

Exemplar ServiceGraph::ExemplarOf(const Parent& parent, const Waiting& child, bool failed) {
  Exemplar exemplar;
  exemplar.duration_ns = child.duration_ns;
  exemplar.time_ns = child.end_ns;
  // Of a link's two traces the one whose verdict this shard will know.
  exemplar.trace = child.link ? parent.trace : TraceId{child.trace_hi, child.trace_lo};
  exemplar.span = child.link ? parent.span : child.span;
  exemplar.failing = failed;
  return exemplar;
}

void ServiceGraph::Pair(const Parent& parent, const Waiting& child) {
  const bool call = Calls(parent.kind) && Answers(child.kind);
  if (child.link && !call) return;  // links of other kinds say nothing of requests
  if (child.brokered) {
    MeasureMessage(parent, child);
    return;
  }
  uint32_t client = series_.ServiceOf(parent.place.row);
  const uint32_t server = series_.ServiceOf(child.place.row);
  if (!call && client == server) return;
  Record& record = window_[parent.ordinal];
  if (!series_.Counts(parent.place.row)) return;
  record.Set(rf::kPaired);
  // What a message led to that names no broker itself is called by that of its producer.
  const bool brokered =
      parent.kind == kProducer && record.Has(rf::kVirtual) && ThroughBroker(parent.kind, parent.place.node);
  if (Calls(parent.kind) && record.Has(rf::kVirtual) && !brokered) {
    // A database's own spans make no second edge; a peer that was given up does not come back.
    if (series_.node(parent.place.node).connection != Connection::kDatabase)
      ++stats_.unpaired[static_cast<size_t>(Unpaired::kLate)];
    return;
  }
  if (client == 0 || server == 0) {
    ++stats_.unpaired[static_cast<size_t>(Unpaired::kNoService)];
    return;
  }
  const bool messaging = parent.kind == kProducer || child.kind == kConsumer || child.kind == kProducer ||
                         parent.kind == kConsumer;
  const bool both = call && !brokered;  // the edge is of both spans, not of the child alone
  const bool failed = series_.Failed(child.place.row) || (both && series_.Failed(parent.place.row));
  const uint64_t threshold =
      std::max(series_.ThresholdOf(parent.place.row), series_.ThresholdOf(child.place.row));
  ReadDimensions(brokered ? 0 : parent.place.node, child.place.node);
  if (brokered) {
    client = series_.node(parent.place.node).peer;
    ++stats_.virtual_edges;
  }
  uint64_t between = 0;
  const bool measured = graph_.messaging_latency && parent.kind == kProducer && child.kind == kConsumer &&
                        parent.end_ns != 0 && child.start_ns != 0;
  if (measured) between = child.start_ns > parent.end_ns ? child.start_ns - parent.end_ns : 0;
  CountEdge(client, server, messaging ? Connection::kMessaging : Connection::kDirect, failed,
            brokered ? kVirtualClient : 0, threshold, child.duration_ns,
            both ? parent.duration_ns : child.duration_ns, ExemplarOf(parent, child, failed), child.tenant,
            measured ? &between : nullptr);
}

// A caller whose wait is over, or who names a database, or a broker that is a node.
void ServiceGraph::CountVirtual(const Caller& caller) {
  if (!caller.waits) return;
  if (!window_.Alive(caller.ordinal)) {
    ++stats_.unpaired[static_cast<size_t>(Unpaired::kEvicted)];
    return;
  }
  Record& record = window_[caller.ordinal];
  if (record.Has(rf::kPaired) || record.Has(rf::kVirtual) || !series_.Alive(caller.place.row)) return;
  const SeriesTable::Node& node = series_.node(caller.place.node);
  if (node.peer == 0) {
    ++stats_.unpaired[static_cast<size_t>(Unpaired::kNoServer)];
    return;
  }
  const uint32_t client = series_.ServiceOf(caller.place.row);
  if (client == 0) {
    ++stats_.unpaired[static_cast<size_t>(Unpaired::kNoService)];
    return;
  }
  record.Set(rf::kVirtual);
  ++stats_.virtual_edges;
  Exemplar exemplar;
  exemplar.duration_ns = caller.duration_ns;
  exemplar.time_ns = caller.end_ns;
  exemplar.trace = {caller.trace_hi, caller.trace_lo};
  exemplar.span = caller.span;
  exemplar.failing = series_.Failed(caller.place.row);
  ReadDimensions(caller.place.node, 0);
  CountEdge(client, node.peer, node.connection, exemplar.failing,
            node.connection == Connection::kDatabase ? 0 : kVirtualServer,
            series_.ThresholdOf(caller.place.row), caller.duration_ns, caller.duration_ns, exemplar,
            caller.tenant, nullptr);
}

// A server or consumer that nobody called, or that a broker did: its caller is a peer that it names, or else
// some user.
void ServiceGraph::CountRoot(const Span& span) {
  const uint32_t server = series_.ServiceOf(span.place.row);
  if (server == 0) {
    ++stats_.unpaired[static_cast<size_t>(Unpaired::kNoService)];
    return;
  }
  const SeriesTable::Node& node = series_.node(span.place.node);
  const uint32_t client = node.peer != 0 ? node.peer : user_;
  const Connection connection =
      node.connection == Connection::kMessaging ? Connection::kMessaging : Connection::kVirtualNode;
  ++stats_.virtual_edges;
  Exemplar exemplar;
  exemplar.duration_ns = span.duration_ns;
  exemplar.time_ns = span.end_ns;
  exemplar.trace = span.trace;
  exemplar.span = span.span;
  exemplar.failing = series_.Failed(span.place.row);
  ReadDimensions(0, span.place.node);
  CountEdge(client, server, connection, exemplar.failing, kVirtualClient, series_.ThresholdOf(span.place.row),
            span.duration_ns, span.duration_ns, exemplar, span.tenant, nullptr);
}

// The place of an edge in the cache, and whether its rows are there. A row lives until SeriesTable ends it.
ServiceGraph::EdgeRows& ServiceGraph::RowsOf(uint32_t client, uint32_t server, uint32_t what,
                                             uint64_t threshold, bool* known) {
  if (rows_ended_ != series_.ended()) {
    rows_ended_ = series_.ended();
    cache_.fill({});
  }
  std::array<EdgeRows, 2>& pair =
      cache_[Mix64(uint64_t{client} << 32 ^ uint64_t{server} << 8 ^ what ^ threshold) % cache_.size()].rows;
  const auto is = [&](const EdgeRows& rows) {
    return rows.client == client && rows.server == server && rows.what == what && rows.threshold == threshold;
  };
  *known = dimensions_.empty() && client != 0 && (is(pair[0]) || is(pair[1]));
  if (!*known || !is(pair[0])) std::swap(pair[0], pair[1]);
  return pair[0];
}

void ServiceGraph::CountEdge(uint32_t client, uint32_t server, Connection connection, bool failed,
                             uint8_t virtual_side, uint64_t threshold, uint64_t server_ns, uint64_t client_ns,
                             const Exemplar& exemplar, uint32_t tenant, const uint64_t* messaging_ns) {
  ++stats_.edges;
  const bool server_pays = virtual_side == kVirtualClient;
  // Without its label the side makes no series of its own.
  if (!graph_.virtual_node_label) virtual_side = 0;
  const auto row = [&](RowKind kind) {
    return series_.EdgeRow(kind, client, server, connection, failed, virtual_side, server_pays, dimensions_,
                           threshold);
  };
  // Edges are few and busy: most find their rows by numbers alone.
  const auto what = static_cast<uint32_t>(static_cast<uint32_t>(connection) << 8 |
                                          static_cast<uint32_t>(virtual_side) << 1 | (failed ? 1u : 0u));
  bool known = false;
  EdgeRows& cached = RowsOf(client, server, what, threshold, &known);
  if (!known) {
    cached = {.client = client,
              .server = server,
              .what = what,
              .server_row = row(RowKind::kEdgeServer),
              .client_row = row(RowKind::kEdgeClient),
              .threshold = threshold};
    // What has dimensions is not told apart by these numbers, and an overflow row does not hold the names.
    if (!dimensions_.empty() || series_.dims(cached.server_row).overflow ||
        series_.dims(cached.client_row).overflow) {
      cached.client = cached.server = 0;
    }
  }
  std::array<Side, 3> sides = {Side{cached.server_row, server_ns}, Side{cached.client_row, client_ns}};
  if (messaging_ns != nullptr) {
    sides[2] = {cached.messaging_row, *messaging_ns};
    if (cached.messaging_row == SeriesTable::kNone) {
      sides[2].row = row(RowKind::kEdgeMessaging);
      if (!series_.dims(sides[2].row).overflow) cached.messaging_row = sides[2].row;
    }
  }
  for (const Side& side : sides) {
    if (side.row != SeriesTable::kNone) series_.CountEdge(side.row, side.duration_ns);
  }
  OfferTo(sides, exemplar, tenant);
}

void ServiceGraph::OfferTo(const std::array<Side, 3>& sides, const Exemplar& exemplar, uint32_t tenant) {
  if (!options_.exemplars) return;
  const bool wanted = std::any_of(sides.begin(), sides.end(), [&](const Side& side) {
    return side.row != SeriesTable::kNone && series_.Wants(side.row, side.duration_ns, exemplar.failing);
  });
  if (!wanted) return;
  if (offers_.size() >= options_.max_offers) {
    ++stats_.exemplars_refused;
    return;
  }
  offers_.push_back({sides, exemplar, tenant, tick_});
}

void ServiceGraph::Release(const Offer& offer) {
  for (const Side& side : offer.sides) {
    if (!series_.Alive(side.row)) continue;
    Exemplar exemplar = offer.exemplar;
    exemplar.duration_ns = side.duration_ns;
    series_.Offer(side.row, exemplar);
  }
}

size_t ServiceGraph::bytes() const {
  return waiting_.capacity_bytes() + callers_.capacity_bytes() + blocks_.capacity() * sizeof(uint32_t) +
         offers_.capacity_bytes() + heads_.capacity() * sizeof(Head) + links_.capacity() * 9 +
         link_ages_.capacity_bytes();
}

}  // namespace braid::correlate

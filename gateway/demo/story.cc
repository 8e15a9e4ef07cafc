#include "gateway/demo/story.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace braid::gateway::demo {
namespace {

constexpr uint64_t kMs = 1'000'000;

constexpr int kNoParent = -1;

std::string Name(Service service) { return std::string(kServiceNames[static_cast<size_t>(service)]); }

// How a piece of work ended: when, and with which HTTP status.
struct Outcome {
  uint64_t end;
  int status = 200;
};

class Teller {
 public:
  Teller(Random& random, uint64_t start_ns) : random_(random), start_(start_ns) {
    story_.trace = {random_.Next(), random_.Next() | 1};
  }

  Story Tell() {
    const double what = random_.Uniform();
    if (what < 0.25) {
      Serve("GET", "/", "/", [this](int span, uint64_t t) { return Home(span, t); });
    } else if (what < 0.53) {
      const std::string id = Product();
      Serve("GET", "/product/{id}", "/product/" + id,
            [&](int span, uint64_t t) { return ShowProduct(span, t, id); });
    } else if (what < 0.61) {
      const std::string id = Product();
      Serve("GET", "/product/{id}/recommendations", "/product/" + id + "/recommendations",
            [&](int span, uint64_t t) { return Recommend(span, t, id); });
    } else if (what < 0.71) {
      Serve("GET", "/cart", "/cart", [this](int span, uint64_t t) { return ViewCart(span, t); });
    } else if (what < 0.84) {
      Serve("POST", "/cart", "/cart", [this](int span, uint64_t t) { return AddToCart(span, t); });
    } else if (what < 0.93) {
      Serve("POST", "/checkout", "/checkout", [this](int span, uint64_t t) { return Checkout(span, t); });
    } else if (what < 0.98) {
      const std::string id = Order();
      Serve("GET", "/orders/{id}", "/orders/" + id,
            [&](int span, uint64_t t) { return OrderStatus(span, t, id); });
    } else {
      Serve("GET", "/healthz", "/healthz",
            [this](int, uint64_t t) { return Outcome{t + random_.Around(0.2)}; });
    }
    return std::move(story_);
  }

 private:
  Story::ServiceSpan& At(int span) { return story_.spans[static_cast<size_t>(span)]; }
  Span& SpanAt(int span) { return At(span).span; }
  std::string Product() { return std::to_string(random_.Between(1, 400)); }
  std::string Order() { return "A" + std::to_string(random_.Between(100'000, 999'999)); }

  // --- spans and logs ---

  int Open(Service service, SpanKind kind, std::string name, int parent, uint64_t t, bool remote = false) {
    Story::ServiceSpan made;
    made.service = service;
    made.span.trace = story_.trace;
    made.span.id = random_.Next() | 1;
    made.span.parent = parent == kNoParent ? 0 : SpanAt(parent).id;
    made.span.parent_remote = remote;
    made.span.kind = kind;
    made.span.name = std::move(name);
    made.span.start_ns = t;
    story_.spans.push_back(std::move(made));
    return static_cast<int>(story_.spans.size()) - 1;
  }

  void Add(int span, std::string key, AttributeValue value) {
    SpanAt(span).attributes.emplace_back(std::move(key), std::move(value));
  }

  void Write(int span, Severity severity, uint64_t t, std::string body, Attributes attributes = {}) {
    Story::ServiceLog made;
    made.service = At(span).service;
    made.log.time_ns = t;
    made.log.severity = severity;
    made.log.body = std::move(body);
    made.log.attributes = std::move(attributes);
    made.log.trace = story_.trace;
    made.log.span = SpanAt(span).id;
    story_.logs.push_back(std::move(made));
  }

  // The span's work threw: status, an exception event, and an ERROR log of the same.
  void Throw(int span, uint64_t t, const std::string& type, const std::string& message) {
    Fail(span, message);
    const std::string where = Name(At(span).service);
    SpanEvent event;
    event.name = "exception";
    event.time_ns = t;
    event.attributes = {
        {"exception.type", type},
        {"exception.message", message},
        {"exception.stacktrace", type + ": " + message + "\n  at shop." + where + ".handle(" + where + ":" +
                                     std::to_string(40 + message.size()) + ")"}};
    Write(span, Severity::kError, t, type + ": " + message, event.attributes);
    SpanAt(span).events.push_back(std::move(event));
  }

  void Fail(int span, std::string message) {
    SpanAt(span).error = true;
    SpanAt(span).status_message = std::move(message);
  }

  // --- who calls whom ---

  // `server_span` of what has no tracing: the client's.
  void Called(int client, int server_span, std::string server, std::string type, bool failed) {
    story_.calls.push_back(
        {Name(At(client).service), std::move(server), std::move(type), failed, client, server_span});
  }

  void EndServer(int span, const Outcome& outcome) {
    Add(span, "http.response.status_code", int64_t{outcome.status});
    At(span).status = outcome.status;
    if (outcome.status >= 500) SpanAt(span).error = true;
    SpanAt(span).end_ns = outcome.end;
  }

  int OpenServer(Service service, const std::string& method, const std::string& route,
                 const std::string& path, int parent, uint64_t t) {
    const int span = Open(service, SpanKind::kServer, method + " " + route, parent, t, parent != kNoParent);
    At(span).method = method;
    At(span).route = route;
    Add(span, "http.request.method", method);
    Add(span, "http.route", route);
    Add(span, "url.path", path);
    Add(span, "url.scheme", "http");
    Add(span, "server.address", Name(service) + ".shop.local");
    Add(span, "server.port", int64_t{8080});
    Add(span, "network.protocol.version", "1.1");
    return span;
  }

  // The root: a browser asks the front end.
  template <typename Work>
  void Serve(const std::string& method, const std::string& route, const std::string& path, Work work) {
    const int span = OpenServer(Service::kFrontend, method, route, path, kNoParent, start_);
    Add(span, "user_agent.original",
        random_.Chance(0.7) ? "Mozilla/5.0 (X11; Linux x86_64)" : "shop-app/4.2 (Android)");
    Add(span, "client.address", "203.0.113." + std::to_string(random_.Between(1, 254)));
    const Outcome outcome = work(span, start_ + random_.Around(0.3));
    EndServer(span, outcome);
    const uint64_t ms = (outcome.end - start_) / kMs;
    Write(span, outcome.status >= 500 ? Severity::kError : Severity::kInfo, outcome.end,
          method + " " + path + " " + std::to_string(outcome.status) + " in " + std::to_string(ms) + " ms",
          {{"http.route", route}, {"http.response.status_code", int64_t{outcome.status}}});
  }

  // One service calls another over HTTP: a CLIENT span here, a SERVER span there.
  template <typename Work>
  Outcome Http(int caller, Service to, const std::string& method, const std::string& route,
               const std::string& path, uint64_t t, Work work) {
    const int client = Open(At(caller).service, SpanKind::kClient, method + " " + route, caller, t);
    Add(client, "http.request.method", method);
    Add(client, "url.template", route);
    Add(client, "url.full", "http://" + Name(to) + ".shop.local:8080" + path);
    Add(client, "server.address", Name(to) + ".shop.local");
    Add(client, "server.port", int64_t{8080});
    const uint64_t arrival = t + random_.Around(0.4);
    const int server = OpenServer(to, method, route, path, client, arrival);
    Outcome outcome = work(server, arrival + random_.Around(0.2));
    EndServer(server, outcome);
    outcome.end += random_.Around(0.4);
    Add(client, "http.response.status_code", int64_t{outcome.status});
    if (outcome.status >= 400) Fail(client, "HTTP " + std::to_string(outcome.status));
    SpanAt(client).end_ns = outcome.end;
    Called(client, server, Name(to), "http", outcome.status >= 400);
    return outcome;
  }

  // A database has no tracing of its own: only the CLIENT span tells of it. `error` empty: it worked.
  uint64_t Ask(int caller, const std::string& system, const std::string& operation, const std::string& what,
               const std::string& text, uint64_t t, uint64_t takes, const std::string& error = {}) {
    const int span = Open(At(caller).service, SpanKind::kClient, operation + " " + what, caller, t);
    Add(span, "db.system.name", system);
    Add(span, "db.system", system);  // as older instrumentation calls it, and service graphs look for
    Add(span, "db.namespace", system == "redis" ? "0" : "shop");
    Add(span, "db.operation.name", operation);
    if (system != "redis") Add(span, "db.collection.name", what);
    Add(span, "db.query.text", text);
    Add(span, "server.address", system == "redis" ? "redis" : "postgres");
    Add(span, "server.port", int64_t{system == "redis" ? 6379 : 5432});
    SpanAt(span).end_ns = t + takes;
    if (!error.empty()) Fail(span, error);
    Called(span, span, system == "redis" ? "redis" : "postgres", "database", !error.empty());
    return t + takes;
  }

  uint64_t Query(int caller, const std::string& operation, const std::string& table, const std::string& text,
                 uint64_t t, double ms, const std::string& error = {}) {
    return Ask(caller, "postgresql", operation, table, text, t, random_.Around(ms), error);
  }

  uint64_t Redis(int caller, const std::string& command, const std::string& key, uint64_t t,
                 const std::string& error = {}) {
    return Ask(caller, "redis", command, key, command + " " + key, t, random_.Around(0.5), error);
  }

  void WarnSlow(int span, uint64_t from, uint64_t to, const std::string& table) {
    const auto ms = static_cast<int64_t>((to - from) / kMs);
    Write(span, Severity::kWarn, to, "slow query on " + table + ": " + std::to_string(ms) + " ms",
          {{"db.collection.name", table}, {"duration_ms", ms}});
  }

  // --- the endpoints ---

  Outcome Home(int root, uint64_t t) {
    const Outcome list =
        Http(root, Service::kCatalog, "GET", "/products", "/products", t, [&](int span, uint64_t at) {
          at = Redis(span, "GET", "products:featured", at);
          const bool hit = random_.Chance(0.8);
          Write(span, Severity::kDebug, at,
                std::string("cache ") + (hit ? "hit" : "miss") + " for products:featured");
          if (!hit) {
            const uint64_t from = at;
            const bool slow = random_.Chance(0.2);
            at = Query(span, "SELECT", "products",
                       "SELECT * FROM products WHERE featured ORDER BY rank LIMIT 24", at, slow ? 1'200 : 9);
            if (slow) WarnSlow(span, from, at, "products");
            at = Redis(span, "SET", "products:featured", at);
          }
          return Outcome{at + random_.Around(0.8)};
        });
    const int render = Open(Service::kFrontend, SpanKind::kInternal, "render home", root, list.end);
    Add(render, "template.name", "home.html");
    const uint64_t end = list.end + random_.Around(4);
    SpanAt(render).end_ns = end;
    if (random_.Chance(0.01)) {
      Throw(render, end, "TemplateError", "undefined variable 'banner' in home.html");
      return {end + random_.Around(0.2), 500};
    }
    return {end + random_.Around(0.2), list.status};
  }

  Outcome FetchProduct(int caller, uint64_t t, const std::string& id) {
    return Http(
        caller, Service::kCatalog, "GET", "/products/{id}", "/products/" + id, t, [&](int span, uint64_t at) {
          Add(span, "shop.product.id", id);
          if (random_.Chance(0.01)) {
            at = Query(span, "SELECT", "products", "SELECT * FROM products WHERE id = $1", at, 2);
            Write(span, Severity::kInfo, at, "no product " + id, {{"shop.product.id", id}});
            return Outcome{at, 404};
          }
          at = Redis(span, "GET", "product", at);
          if (random_.Chance(0.6)) {
            Write(span, Severity::kDebug, at, "cache hit for product " + id);
            return Outcome{at + random_.Around(0.5)};
          }
          const bool deadlock = random_.Chance(0.05);
          at = Query(span, "SELECT", "products", "SELECT * FROM products WHERE id = $1", at,
                     deadlock ? 60 : 3, deadlock ? "deadlock detected" : "");
          if (deadlock) {
            Throw(span, at, "PSQLException", "ERROR: deadlock detected, process 4711 waits for ShareLock");
            return Outcome{at + random_.Around(0.3), 500};
          }
          Write(span, Severity::kDebug, at, "loaded product " + id, {{"shop.product.id", id}});
          return Outcome{at + random_.Around(0.5)};
        });
  }

  Outcome ShowProduct(int root, uint64_t t, const std::string& id) {
    // Two calls at once: the product, and how full the cart is.
    const Outcome product = FetchProduct(root, t, id);
    const Outcome cart = FetchCart(root, t + random_.Around(0.1));
    const uint64_t end = std::max(product.end, cart.end) + random_.Around(3);
    if (product.status >= 500) {
      Write(root, Severity::kError, end,
            "catalog answered " + std::to_string(product.status) + " for product " + id);
      return {end, 502};
    }
    return {end, product.status};
  }

  // The classic: one query for the list, then one for each of its entries.
  Outcome Recommend(int root, uint64_t t, const std::string& id) {
    const std::string path = "/products/" + id + "/related";
    const Outcome related =
        Http(root, Service::kCatalog, "GET", "/products/{id}/related", path, t, [&](int span, uint64_t at) {
          at = Query(span, "SELECT", "related_products",
                     "SELECT related_id FROM related_products WHERE id = $1", at, 3);
          const uint64_t rows = random_.Between(8, 24);
          for (uint64_t i = 0; i < rows; ++i) {
            at = Query(span, "SELECT", "products", "SELECT * FROM products WHERE id = $1",
                       at + random_.Around(0.1), 2.5);
          }
          Write(span, Severity::kInfo, at, "found " + std::to_string(rows) + " related products for " + id,
                {{"rows", static_cast<int64_t>(rows)}});
          if (random_.Chance(0.03)) {
            Throw(span, at, "ScoringError", "model 'related-v3' returned NaN");
            return Outcome{at, 500};
          }
          return Outcome{at + random_.Around(1)};
        });
    return {related.end + random_.Around(2), related.status >= 500 ? 502 : related.status};
  }

  Outcome FetchCart(int caller, uint64_t t) {
    return Http(caller, Service::kCart, "GET", "/cart", "/cart", t, [&](int span, uint64_t at) {
      at = Redis(span, "HGETALL", "cart", at);
      const uint64_t lines = random_.Between(0, 6);
      Write(span, Severity::kDebug, at, "cart has " + std::to_string(lines) + " lines",
            {{"shop.cart.lines", static_cast<int64_t>(lines)}});
      return Outcome{at + random_.Around(0.4)};
    });
  }

  Outcome ViewCart(int root, uint64_t t) {
    const Outcome cart = FetchCart(root, t);
    return {cart.end + random_.Around(2), cart.status};
  }

  Outcome AddToCart(int root, uint64_t t) {
    const Outcome added =
        Http(root, Service::kCart, "POST", "/cart/items", "/cart/items", t, [&](int span, uint64_t at) {
          const bool reset = random_.Chance(0.05);
          at = Redis(span, "HSET", "cart", at, reset ? "connection reset by peer" : "");
          if (reset) {
            Throw(span, at, "RedisConnectionException", "connection reset by peer: redis:6379");
            return Outcome{at + random_.Around(0.3), 503};
          }
          Write(span, Severity::kInfo, at, "added product " + Product() + " to the cart");
          return Outcome{at + random_.Around(0.5), 201};
        });
    if (added.status >= 500) {
      const uint64_t end = added.end + random_.Around(0.5);
      Write(root, Severity::kError, end, "cart is not available");
      return {end, 503};
    }
    return {added.end + random_.Around(1), 201};
  }

  // payment asks a processor that has no tracing of its own.
  Outcome AskProcessor(int caller, uint64_t t, bool timeout) {
    const int span = Open(Service::kPayment, SpanKind::kClient, "POST /v2/authorizations", caller, t);
    Add(span, "http.request.method", "POST");
    Add(span, "url.full", "https://cards.example.com/v2/authorizations");
    Add(span, "server.address", "cards.example.com");
    Add(span, "server.port", int64_t{443});
    Add(span, "peer.service", "card-processor");
    const uint64_t end = t + (timeout ? 2'000 * kMs : random_.Around(85));
    SpanAt(span).end_ns = end;
    if (timeout) {
      Add(span, "error.type", "timeout");
      Fail(span, "no answer within 2 s");
    } else {
      Add(span, "http.response.status_code", int64_t{200});
    }
    Called(span, span, "card-processor", "external", timeout);
    return {end, timeout ? 504 : 200};
  }

  void AddRpc(int span) {
    Add(span, "rpc.system", "grpc");
    Add(span, "rpc.service", "shop.Payment");
    Add(span, "rpc.method", "Charge");
  }

  // checkout charges by gRPC and tries up to three times while payment is UNAVAILABLE.
  Outcome Charge(int caller, uint64_t t, const std::string& order) {
    const bool timeout = random_.Chance(0.10);
    for (int attempt = 1;; ++attempt) {
      const bool busy = attempt < 3 && random_.Chance(0.12);
      const int client = Open(Service::kCheckout, SpanKind::kClient, "shop.Payment/Charge", caller, t);
      AddRpc(client);
      if (attempt > 1) Add(client, "retry.attempt", int64_t{attempt - 1});
      Add(client, "server.address", "payment.shop.local");
      const int server = Open(Service::kPayment, SpanKind::kServer, "shop.Payment/Charge", client,
                              t + random_.Around(0.4), true);
      AddRpc(server);
      Add(server, "shop.order.id", order);
      uint64_t at = SpanAt(server).start_ns + random_.Around(0.3);
      int64_t code = 0;
      if (busy) {
        code = 14;
        Write(server, Severity::kWarn, at, "too many open authorizations, refusing order " + order);
        Fail(server, "UNAVAILABLE");
      } else {
        const Outcome answer = AskProcessor(server, at, timeout);
        at = answer.end;
        if (timeout) {
          code = 4;
          Throw(server, at, "ProcessorTimeout", "card processor did not answer within 2 s");
        } else {
          Write(server, Severity::kInfo, at, "authorized order " + order, {{"shop.order.id", order}});
        }
      }
      SpanAt(server).end_ns = at + random_.Around(0.2);
      const uint64_t end = SpanAt(server).end_ns + random_.Around(0.4);
      SpanAt(client).end_ns = end;
      Add(server, "rpc.grpc.status_code", code);
      Add(client, "rpc.grpc.status_code", code);
      if (code != 0) Fail(client, code == 14 ? "UNAVAILABLE" : "DEADLINE_EXCEEDED");
      Called(client, server, Name(Service::kPayment), "grpc", code != 0);
      if (!busy) return {end, timeout ? 504 : 200};
      const uint64_t pause = (uint64_t{25} << attempt) * kMs;
      Write(caller, Severity::kWarn, end,
            "payment is UNAVAILABLE, attempt " + std::to_string(attempt) + " of 3",
            {{"retry.attempt", int64_t{attempt}}, {"retry.delay_ms", static_cast<int64_t>(pause / kMs)}});
      t = end + pause;
    }
  }

  // The order goes to a queue; shipping takes it from there, after the customer has his answer.
  uint64_t Publish(int caller, uint64_t t, const std::string& order) {
    const int producer = Open(Service::kCheckout, SpanKind::kProducer, "send orders", caller, t);
    const uint64_t sent = t + random_.Around(1);
    SpanAt(producer).end_ns = sent;
    const uint64_t waits = random_.Chance(0.05) ? random_.Around(1'500) : random_.Around(60);
    const int consumer =
        Open(Service::kShipping, SpanKind::kConsumer, "process orders", producer, sent + waits, true);
    SpanAt(consumer).link = SpanAt(producer).id;
    for (const int span : {producer, consumer}) {
      Add(span, "messaging.system", "rabbitmq");
      Add(span, "messaging.destination.name", "orders");
      Add(span, "messaging.operation.type", span == producer ? "send" : "process");
      Add(span, "messaging.message.id", order);
      Add(span, "server.address", "queue.shop.local");
    }
    uint64_t at =
        Query(consumer, "INSERT", "shipments", "INSERT INTO shipments (order_id, carrier) VALUES ($1, $2)",
              sent + waits + random_.Around(0.5), 5);
    const bool bad_address = random_.Chance(0.02);
    if (bad_address) {
      Throw(consumer, at, "AddressError", "no carrier delivers to the address of order " + order);
    } else {
      Write(consumer, Severity::kInfo, at, "shipment scheduled for order " + order,
            {{"shop.order.id", order}});
    }
    SpanAt(consumer).end_ns = at + random_.Around(0.5);
    Called(producer, consumer, Name(Service::kShipping), "messaging", bad_address);
    return sent;
  }

  Outcome Checkout(int root, uint64_t t) {
    const std::string order = Order();
    const Outcome placed =
        Http(root, Service::kCheckout, "POST", "/orders", "/orders", t, [&](int span, uint64_t at) {
          Add(span, "shop.order.id", order);
          at = FetchCart(span, at).end;
          at = Http(span, Service::kCatalog, "POST", "/prices", "/prices", at + random_.Around(0.2),
                    [&](int prices, uint64_t now) {
                      now = Query(prices, "SELECT", "prices",
                                  "SELECT id, price FROM prices WHERE id = ANY($1)", now, 4);
                      return Outcome{now + random_.Around(0.4)};
                    })
                   .end;
          const Outcome charged = Charge(span, at + random_.Around(0.3), order);
          at = charged.end;
          if (charged.status != 200) {
            ++story_.orders_failed;
            Throw(span, at, "PaymentFailed", "order " + order + " could not be charged: DEADLINE_EXCEEDED");
            return Outcome{at + random_.Around(0.5), 502};
          }
          at = Query(span, "INSERT", "orders", "INSERT INTO orders (id, total) VALUES ($1, $2)", at, 6);
          at = Publish(span, at + random_.Around(0.2), order);
          ++story_.orders_placed;
          Write(span, Severity::kInfo, at, "order " + order + " placed", {{"shop.order.id", order}});
          return Outcome{at + random_.Around(0.4), 201};
        });
    const uint64_t end = placed.end + random_.Around(2);
    if (placed.status >= 500) {
      Write(root, Severity::kError, end, "checkout of order " + order + " failed",
            {{"shop.order.id", order}});
      return {end, 502};
    }
    return {end, 201};
  }

  Outcome OrderStatus(int root, uint64_t t, const std::string& id) {
    const Outcome found =
        Http(root, Service::kCheckout, "GET", "/orders/{id}", "/orders/" + id, t, [&](int span, uint64_t at) {
          Add(span, "shop.order.id", id);
          if (random_.Chance(0.06)) {
            at += 500 * kMs;
            Throw(span, at, "PoolTimeout", "no database connection within 500 ms (20 of 20 in use)");
            return Outcome{at, 500};
          }
          const uint64_t from = at;
          const bool slow = random_.Chance(0.1);
          at = Query(span, "SELECT", "orders", "SELECT * FROM orders WHERE id = $1", at, slow ? 900 : 4);
          if (slow) WarnSlow(span, from, at, "orders");
          return Outcome{at + random_.Around(0.4)};
        });
    return {found.end + random_.Around(1), found.status >= 500 ? 502 : found.status};
  }

  Random& random_;
  const uint64_t start_;
  Story story_;
};

}  // namespace

double Random::Exponential(double mean) { return -mean * std::log1p(-Uniform()); }

uint64_t Random::Around(double ms) {
  // Log-normal; the sum of four uniform numbers is normal enough.
  const double normal = (Uniform() + Uniform() + Uniform() + Uniform() - 2) * std::sqrt(3.0);
  return static_cast<uint64_t>(ms * 1e6 * std::exp(0.35 * normal)) + 1'000;
}

Story Tell(Random& random, uint64_t start_ns) { return Teller(random, start_ns).Tell(); }

}  // namespace braid::gateway::demo

# shellcheck shell=bash
# stripe-mock: answers Stripe's API from its published description. A Go module.

readonly stripe_mock_version=v0.203.0
readonly stripe_mock_home=$cache/stripe-mock-$stripe_mock_version

stripe_mock_ports() { echo stripe_mock=12111; }
stripe_mock_url() { echo "http://127.0.0.1:$(port stripe_mock)"; }
stripe_mock_line() { echo "STRIPE_MOCK_URL=$(stripe_mock_url)"; }
stripe_mock_stop_signal() { echo TERM; }

stripe_mock_prepare() {
  ensure_commands curl:curl
  ensure_cached "stripe-mock-$stripe_mock_version" stripe_mock_fetch
  mkdir -p "$dir/stripe-mock"
}

stripe_mock_fetch() {
  ensure_commands go:golang-go
  interruptible env GOBIN="$1" go install "github.com/stripe/stripe-mock@$stripe_mock_version" >&2 ||
    die "fetch stripe-mock $stripe_mock_version: go install failed, see above"
}

# It serves HTTPS too, which nobody asks for: on any free port, so that two can run at once.
stripe_mock_launch() {
  launch stripe-mock "$stripe_mock_home/stripe-mock" -http-addr "127.0.0.1:$(port stripe_mock)" \
    -https-addr 127.0.0.1:0
}

stripe_mock_answers() {
  curl --silent --fail --max-time 10 --output /dev/null --user sk_test_123: "$(stripe_mock_url)/v1/balance"
}

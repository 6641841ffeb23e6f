/** What each key of the configuration is for: editors show it (`etc/registry-token.schema.json`), and the reference is made of it. */

/** By the key's path; `*` stands for the name of a plan. */
export const descriptions: Readonly<Record<string, string>> = {
  server: 'Where and how the service listens.',
  'server.listen': 'The address to listen on, host:port: 127.0.0.1:8085, [::1]:8085, 0.0.0.0:443.',
  'server.workers': 'Number of threads that answer on the same port; auto starts one per core.',
  'server.tls':
    'Serves HTTPS with these files and asks each client for a certificate. Without it, plain HTTP behind a proxy.',
  'server.tls.certPath': "PEM file: the service's certificate, then the intermediate certificates.",
  'server.tls.keyPath': 'PEM file: the private key of the certificate.',
  'server.tls.clientCaPath':
    'PEM file: the authorities whose client certificates are accepted. Without it, any is. The OpTok must be bound to the certificate either way.',
  'server.trustedProxies':
    'Networks (CIDR) or addresses of the proxies whose forwarded headers are trusted. None by default.',
  'server.clientCertificateHeader':
    'The header in which trusted proxies pass on the client certificate: a known header, or { name, format }.',
  'server.clientCertificateHeader.name': 'Name of the header.',
  'server.clientCertificateHeader.format': 'How the header encodes the certificate.',
  'server.forwardedHeader':
    "The header in which trusted proxies pass on the client's address. The other one is not read.",
  'server.shutdownGrace': 'How long requests in progress may take when the service stops.',
  authority: 'The OAuth server that issues OpToks. Its name in log, metrics and readyz is default.',
  'authority.issuer': 'The exact iss claim of OpToks.',
  'authority.metadataUrl':
    'URL of the metadata document. Default: the issuer followed by /.well-known/openid-configuration.',
  'authority.jwksPath':
    'File with the key set of the Authority, for sites without a network path to it. No request is made then.',
  'authority.caPath':
    "PEM file: authorities to trust for the Authority's HTTPS instead of those of the system.",
  'authority.audiences': 'An OpTok must have at least one of these in its aud claim.',
  'authority.requiredScopes': 'An OpTok must have all of these in its scope claim.',
  'authority.algorithms': 'Signature algorithms accepted for OpToks.',
  'authority.tokenTypes':
    'Accepted values of the typ header of OpToks; the word absent accepts OpToks without typ.',
  'authority.clockSkew': "How far the clocks of the Authority and of clients may differ from this machine's.",
  'authority.claims': 'The claims of an OpTok that the service reads.',
  'authority.claims.subject':
    'The claim that names the subject, such as client_id; a path as a list: [act, sub].',
  'authority.claims.plan': 'The claim that names the plan: one name, or a list such as roles.',
  'authority.claims.license': 'The claim that names the licence, or a list of licences.',
  'authority.claims.named':
    'Names for claims inside other claims, as paths: { ns: [kubernetes.io, namespace] }. For {claim:NAME}, {path:NAME} and when.',
  'authority.accept': "Accepted bindings of this Authority's OpToks. Default: senderConstraint.accept.",
  'authority.keysMaxAge': "How long the Authority's keys are used before they are fetched again.",
  'authority.planRules':
    'The plan of the first rule whose conditions all hold; it takes precedence over claims.plan.',
  'authority.planRules.when':
    'Conditions by claim: a text in which * matches any characters, : and / too, or a list of such texts. Without conditions it always holds.',
  'authority.planRules.plan': 'Name of the plan.',
  authorities:
    'Several OAuth servers by name, instead of authority, each with the keys of authority. The iss claim of an OpTok selects one.',
  senderConstraint: 'How an OpTok must be bound to the client that sends it.',
  'senderConstraint.accept':
    'Accepted bindings: dpop, mtls. The value none also accepts OpToks without a binding: anyone who has one can use it.',
  'senderConstraint.dpop': 'Settings of DPoP (RFC 9449).',
  'senderConstraint.dpop.algorithms': 'Signature algorithms accepted for proofs.',
  'senderConstraint.dpop.maxAge': 'Maximum age of a proof.',
  'senderConstraint.dpop.nonce': 'required: every proof must contain a nonce that the service issued.',
  'senderConstraint.dpop.nonceSecretPath':
    'File with at least 32 random bytes from which nonces are derived; the same on every node.',
  'senderConstraint.dpop.bearerScheme':
    'Whether "Authorization: Bearer" is accepted beside a proof, as some clients send it.',
  'senderConstraint.replay': 'The memory of used proofs.',
  'senderConstraint.replay.store': 'memory for one process; redis where several nodes answer.',
  'senderConstraint.replay.capacity':
    'How many used proofs fit. Proofs too old for maxAge make room; if there are none, requests are answered 503.',
  'senderConstraint.replay.statePath':
    'A file (and another beside it, .owner) that keeps the used proofs from a planned stop to the next start, with store: memory. Without it, and after a crash, proofs need a nonce until clockSkew after the start.',
  'senderConstraint.replay.url': 'One Redis or Valkey: redis:// or rediss://, with store: redis.',
  'senderConstraint.replay.sentinels': 'Instead of url: the Sentinels that know the master.',
  'senderConstraint.replay.master': 'The name of the master, as the Sentinels know it.',
  'senderConstraint.replay.cluster': 'Instead of url: some nodes of a Redis Cluster.',
  'senderConstraint.replay.passwordPath': 'File with the password of Redis, instead of a password in url.',
  'senderConstraint.replay.caPath':
    'PEM: the authority of the certificates of rediss://; with sentinels or cluster it turns TLS on.',
  'senderConstraint.replay.minReplicas':
    'Replicas that must acknowledge a proof before its token is issued; otherwise 503. Default: 0.',
  signing: 'The key that signs registry tokens.',
  'signing.issuer': 'The iss claim of registry tokens; the registry has it as auth.token.issuer.',
  'signing.audience':
    'The aud claim of every registry token. Without it, the service that the client asked for.',
  'signing.keyPath': 'Private key: PEM (PKCS#8, PKCS#1, SEC1) or PFX/PKCS#12; RSA, P-256, P-384 or Ed25519.',
  'signing.keyPassword': 'Password of an encrypted key.',
  'signing.keyPasswordPath': 'File with the password, instead of keyPassword.',
  'signing.certificatePath':
    'PEM file: the certificate of the key, then its chain; sent as x5c, which every registry version accepts.',
  'signing.keyId':
    'The kid header: thumbprint (RFC 7638), libtrust (for registry 2.8 without x5c), or any other text, used literally.',
  'signing.lifetime': 'Lifetime of a registry token, 1s to 1h. Clients assume at least 60s.',
  'signing.additionalKeys':
    'PEM files: keys that are published but do not sign, such as the next key or the previous one.',
  registry: 'The registry that tokens are for.',
  'registry.realm':
    "The URL of the token endpoint, as in the registry's auth.token.realm, or a list. The htu of a proof must be one of them.",
  'registry.allowedServices':
    "Accepted values of the service parameter: the registry's auth.token.service. Without it, any.",
  'registry.grant':
    'strict: one denied action refuses the whole request. intersection: the token has what the plan allows.',
  plans: 'The plans, by name: which repositories and actions each allows.',
  'plans.*.catalog': 'Whether the plan allows registry:catalog:*.',
  'plans.*.lifetime': 'Lifetime of tokens under this plan, instead of signing.lifetime.',
  'plans.*.repositories': 'Rules. All rules that match add up; their order does not matter.',
  'plans.*.repositories.pattern':
    '* matches within a path segment, ** whole segments; {claim:NAME} and {path:NAME} stand for a claim, |lower lower-cases it.',
  'plans.*.repositories.actions': 'Allowed actions; * allows any. Default: pull.',
  defaultPlan: 'The plan of an OpTok that names none.',
  anonymousPlan: 'The plan of requests without credentials, which can only pull. None by default.',
  revokedLicenses: 'Licences whose OpToks are refused, whatever they request.',
  revokedLicensesPath:
    'File with more revoked licences, one per line; lines that begin with # are comments. A line "# empty" means that an empty list is intended.',
  plansPath: 'JSON file with more plans, written by a program, in the same shape as plans; at most 64 MiB.',
  entitlements:
    'Plans and revoked licences in a bundle that the vendor signed. They replace the plans of this file, and add to its revoked licences.',
  'entitlements.path': 'The bundle: a file made by registry-token entitlements sign.',
  'entitlements.keysPath': "JWKS file with the vendor's public keys; several for a change of keys.",
  'entitlements.site':
    'The name of this site. A bundle for other sites is refused; without a name, every one but those for all sites (*).',
  'entitlements.maxAge':
    'The age from which a bundle counts as expired, even if its own exp is later. Warnings begin 7 days before.',
  'entitlements.onExpiry': 'keep: an expired bundle stays in use. deny: every request is answered 503.',
  'entitlements.localPlans':
    'allow: the plans of this file and of plansPath count too, except those whose names the bundle has.',
  'entitlements.statePath':
    'File that remembers the highest serial, so that an older bundle is refused after a restart. Default: entitlements.state beside senderConstraint.replay.statePath, otherwise beside this file.',
  limits: 'Limits; requests above them are answered 429 or 503.',
  'limits.perSubject': 'Requests of one subject: 50/s, 100/m or 1000/h. That many may arrive at once.',
  'limits.inFlight':
    'Maximum number of requests in progress in all workers; more are answered 503 at once. Without it, only lasting overload is.',
  telemetry: 'A second listener, for /metrics, /healthz, /readyz and /status.',
  'telemetry.listen':
    'The address of that listener: host:port, or unix:PATH for a socket that the group of the service may use. The status command asks it.',
  'telemetry.console':
    'A page for people at /console of that listener: state, last decisions and why, a try-out. Only on loopback or a Unix socket.',
  logging: 'The log, on standard error.',
  'logging.level': 'The lowest level that is logged.',
  'logging.format': 'json, pretty, or auto: pretty on a terminal, json elsewhere.',
  'logging.auditPath':
    'File to which every decision is appended as JSON. Opened again on SIGHUP and after a rename.',
};

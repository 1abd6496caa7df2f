<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
ini_set('memory_limit', '256M');
[, $port, $token, $ca, $other] = $argv;
function open($ca) {
    global $port, $token;
    $c = mysqli_init();
    $c->ssl_set(null, null, $ca, null, null);
    $c->options(MYSQLI_OPT_SSL_VERIFY_SERVER_CERT, true);
    // "localhost" is a socket to it.
    @$c->real_connect('127.0.0.1', 'x+orders-db', $token, 'orders', (int) $port, null, MYSQLI_CLIENT_SSL);
    return $c;
}
function is($got, $wanted) { if ($got !== $wanted) throw new Exception(var_export($got, true)); }
$c = open($ca);
$one = fn($sql) => $c->query($sql)->fetch_row()[0];
$cases = [
    'login' => fn() => is($one('select 1'), '1'),
    'prepared' => function () use ($c) {
        $p = $c->prepare('select ? + 1');
        for ($n = 0; $n < 20; $n++) { $p->bind_param('i', $n); $p->execute(); is($p->get_result()->fetch_row()[0], $n + 1); }
    },
    'large' => fn() => is(strlen($one("select repeat('z', 8388608)")), 8388608),
    'cancel' => function () use ($c, $one, $ca) {
        $began = time();
        $c->query('select sleep(60)', MYSQLI_ASYNC);
        sleep(1);
        open($ca)->query("kill query {$c->thread_id}");
        try { is($c->reap_async_query()->fetch_row()[0], '1'); } catch (mysqli_sql_exception $e) { is($e->getCode(), 1317); }
        is(time() - $began < 20, true);
        is($one('select 1'), '1');
    },
    'verify-full' => function () use ($other) {
        $said = '';
        set_error_handler(function ($_, $more) use (&$said) { $said .= $more; return true; });
        try { open($other); $said = 'trusted'; } catch (mysqli_sql_exception $e) { $said .= $e->getMessage(); }
        restore_error_handler();
        is(str_contains($said, 'certificate verify failed') ?: $said, true);
    },
];
foreach ($cases as $name => $case) {
    try { $case(); echo "$name ok\n"; } catch (Throwable $e) { echo "$name failed: {$e->getMessage()}\n"; }
}

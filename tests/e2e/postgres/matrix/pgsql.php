<?php
[, $port, $token, $ca, $other] = $argv;
function open($ca) {
    global $port, $token;
    return @pg_connect("host=localhost port=$port user=x+orders-db dbname=orders password=$token sslmode=verify-full sslrootcert=$ca", PGSQL_CONNECT_FORCE_NEW);
}
function is($got, $wanted) { if ($got !== $wanted) throw new Exception(var_export($got, true)); }
$c = open($ca);
$one = fn($sql) => pg_fetch_result(pg_query($c, $sql), 0, 0);
$cases = [
    'login' => fn() => is($one('select 1'), '1'),
    'prepared' => function () use ($c) {
        pg_prepare($c, 'p', 'select $1::int + 1');
        for ($n = 0; $n < 20; $n++) is(pg_fetch_result(pg_execute($c, 'p', [$n]), 0, 0), strval($n + 1));
    },
    'large' => fn() => is(strlen($one("select repeat('z', 8388608)")), 8388608),
    'cancel' => function () use ($c, $one) {
        $began = time();
        pg_send_query($c, 'select pg_sleep(60)');
        sleep(1);
        is(pg_cancel_query($c), true);
        is(time() - $began < 20, true);
        is($one('select 1'), '1');
    },
    'verify-full' => fn() => is(open($other), false),
];
foreach ($cases as $name => $case) {
    try { $case(); echo "$name ok\n"; } catch (Throwable $e) { echo "$name failed: {$e->getMessage()}\n"; }
}

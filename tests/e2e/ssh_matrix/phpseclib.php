// phpseclib, which has no forwards and asks for no new keys.
require '/usr/share/php/phpseclib3/autoload.php';
[$port, $login, $token, $dir] = array_map('getenv', ['PORT', 'LOGIN', 'TOKEN', 'DIR']);
function open($kind) {
    global $port, $login, $token;
    $s = new $kind('127.0.0.1', (int) $port);
    if (!$s->login($login, $token)) throw new Exception('no login');
    return $s;
}
function is($got, $wanted) { if ($got !== $wanted) throw new Exception(var_export($got, true)); }
$cases = [
    'exec' => function () {
        $s = open('phpseclib3\Net\SSH2');
        is([$s->exec('echo out; exit 5'), $s->getExitStatus()], ["out\n", 5]);
    },
    'pty' => function () {
        $s = open('phpseclib3\Net\SSH2');
        $s->enablePTY();
        $s->exec('tty');
        is(str_contains($s->read(), '/dev/pts/'), true);
    },
    'sftp' => function () use ($dir) {
        $s = open('phpseclib3\Net\SFTP');
        is($s->put("$dir/phpseclib", "$dir/up", phpseclib3\Net\SFTP::SOURCE_LOCAL_FILE), true);
        is($s->get("$dir/phpseclib", "$dir/phpseclib.back"), true);
        foreach (['phpseclib', 'phpseclib.back'] as $copy) is(md5_file("$dir/$copy"), md5_file("$dir/up"));
    },
];
foreach ($cases as $name => $run) {
    try { $run(); echo "$name ok\n"; } catch (Throwable $e) { echo "$name failed: {$e->getMessage()}\n"; }
}

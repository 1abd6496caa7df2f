use strict; use warnings; use DBI;
my ($port, $token, $ca, $other) = @ARGV;
sub opened {
    # "localhost" is a socket to it. What it has no argument for, its library reads here.
    my $file = "$ENV{HOME}/dbd-mysql.cnf";
    open(my $f, '>', $file); print $f "[client]\nssl-ca=$_[0]\nssl-verify-server-cert\n"; close $f;
    my $dsn = "dbi:mysql:database=orders;host=127.0.0.1;port=$port;mysql_read_default_file=$file;mysql_read_default_group=client;mysql_server_prepare=1";
    return DBI->connect($dsn, 'x+orders-db', $token, { RaiseError => 0, PrintError => 0 });
}
my $c = opened($ca) or die DBI->errstr;
sub is { my ($got, $wanted) = @_; die "$got is not $wanted\n" if $got ne $wanted; }
sub one { return ($c->selectrow_array(shift))[0]; }
my @cases = (
    login => sub { is(one('select 1'), 1) },
    prepared => sub {
        my $p = $c->prepare('select ? + 1');
        for my $n (0 .. 19) { $p->execute($n); is(($p->fetchrow_array)[0], $n + 1); }
        $p->finish;
    },
    large => sub { is(length(one("select repeat('z', 8388608)")), 8388608) },
    cancel => sub {
        my ($began, $number) = (time, $c->{mysql_thread_id});
        my $p = $c->prepare('select sleep(60)', { async => 1 });
        $p->execute;
        sleep 1;
        my $killer = opened($ca);
        $killer->do("kill query $number") or die $killer->errstr;
        $p->mysql_async_result;
        is(time - $began < 20 ? 1 : 0, 1);
        $p->finish;
        is(one('select 1'), 1);
    },
    'verify-full' => sub { opened($other) and die "trusted\n"; DBI->errstr =~ /certificate/i or die DBI->errstr . "\n" },
);
while (my ($name, $case) = splice(@cases, 0, 2)) {
    if (eval { $case->(); 1 }) { print "$name ok\n" } else { chomp(my $why = $@); print "$name failed: $why\n" }
}

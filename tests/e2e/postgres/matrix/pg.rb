require 'pg'
port, token, ca, other = ARGV
open = ->(ca) { PG.connect(host: 'localhost', port: port, user: 'x+orders-db', dbname: 'orders', password: token, sslmode: 'verify-full', sslrootcert: ca) }
c = open.(ca)
is = ->(got, wanted) { raise "#{got.inspect} is not #{wanted.inspect}" if got != wanted }
one = ->(sql) { c.exec(sql).getvalue(0, 0) }
cases = {
  'login' => -> { is.(one.('select 1'), '1') },
  'prepared' => -> {
    c.prepare('p', 'select $1::int + 1')
    20.times { |n| is.(c.exec_prepared('p', [n]).getvalue(0, 0), (n + 1).to_s) }
  },
  'large' => -> { is.(one.("select repeat('z', 8388608)").length, 8388608) },
  'cancel' => -> {
    Thread.new { sleep 1; c.cancel }
    begin
      one.('select pg_sleep(60)')
      raise 'not cancelled'
    rescue PG::QueryCanceled
      is.(one.('select 1'), '1')
    end
  },
  'verify-full' => -> {
    begin
      open.(other)
    rescue PG::ConnectionBad
      next
    end
    raise 'trusted'
  },
}
cases.each do |name, run|
  begin
    run.()
    puts "#{name} ok"
  rescue StandardError => e
    puts "#{name} failed: #{e.message}"
  end
end
